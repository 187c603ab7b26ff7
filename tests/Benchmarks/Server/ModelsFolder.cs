namespace InferenceServer.Benchmarks.Server;

/// <summary>A temporary folder of models that holds what a measurement needs and nothing else. Copies, because the server loads nothing from outside its folder.</summary>
internal sealed class ModelsFolder : IDisposable
{
    private ModelsFolder(string model, string source)
    {
        Model = model;
        Source = source;
    }

    /// <summary>Path of the folder, for <c>--models</c>.</summary>
    public string Path { get; } = Directory.CreateTempSubdirectory("benchmark-models-").FullName;

    /// <summary>Id of the model, or of the first of its copies.</summary>
    public string Model { get; }

    /// <summary>The folder that was copied.</summary>
    public string Source { get; }

    /// <summary>The graph's file in the folder that was copied.</summary>
    public string GraphFile => System.IO.Path.Combine(Source, "onnx", "model.onnx");

    /// <summary>all-MiniLM-L6-v2 where it is at hand (INFERENCE_SHARED/models, else ../shared/models), else the demo model.</summary>
    public static ModelsFolder WithMiniLM()
    {
        const string name = "all-MiniLM-L6-v2";
        var source = Shared(name);
        if (!Directory.Exists(source))
        {
            Console.Error.WriteLine($"{source} is absent: the small demo model is measured instead, and the goals, which are for {name}, do not apply.");
            return Copies(1);
        }

        var folder = new ModelsFolder(name, source);
        Copy(source, System.IO.Path.Combine(folder.Path, name));
        return folder;
    }

    /// <summary>Adds a model of the shared folder.</summary>
    /// <exception cref="DirectoryNotFoundException">It is absent.</exception>
    public void AddShared(string name) => Copy(Shared(name), System.IO.Path.Combine(Path, name));

    /// <summary>So many copies of the small demo model.</summary>
    public static ModelsFolder Copies(int count)
    {
        var source = System.IO.Path.Combine(Repository.Root, "models", "demo-bert");
        var folder = new ModelsFolder(NameOfCopy(0), source);
        for (var i = 0; i < count; i++)
        {
            Copy(source, System.IO.Path.Combine(folder.Path, NameOfCopy(i)));
        }

        return folder;
    }

    /// <summary>Adds a copy.</summary>
    public void AddCopy(string id) => Copy(Source, System.IO.Path.Combine(Path, id));

    /// <summary>Adds a copy with another graph.</summary>
    public void Add(string id, byte[] graph)
    {
        Copy(Source, System.IO.Path.Combine(Path, id));
        File.WriteAllBytes(System.IO.Path.Combine(Path, id, "onnx", "model.onnx"), graph);
    }

    /// <summary>The id of a copy.</summary>
    public static string NameOfCopy(int index) => $"demo-bert-{index:00}";

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(Path, recursive: true);

    private static string Shared(string name) =>
        System.IO.Path.GetFullPath(System.IO.Path.Combine(Environment.GetEnvironmentVariable("INFERENCE_SHARED") ?? System.IO.Path.Combine(Repository.Root, "..", "shared"), "models", name));

    private static void Copy(string from, string to)
    {
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            var target = System.IO.Path.Combine(to, System.IO.Path.GetRelativePath(from, file));
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }
}
