using System.Text.Json.Nodes;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>A copy of a folder of the zoo with other files, loaded.</summary>
internal sealed class EditedFolder : IAsyncDisposable
{
    private readonly TemporaryFolder directory = new();
    private readonly ModelRegistry registry;

    private EditedFolder(string source, Action<string> edit, ModelSettings settings)
    {
        var folder = Path.Combine(directory.Path, "edited");
        TemporaryFolder.Copy(Path.Combine(TestData.Zoo, source), folder);
        edit(folder);
        registry = new ModelRegistry(new LoadingOptions
        {
            Directory = directory.Path,
            Execution = new ExecutionOptions { Workers = 1, IntraOpThreads = 1 },
            Models = new Dictionary<string, ModelSettings> { ["edited"] = settings },
        });
    }

    public ModelStatus Status => registry.Models.Single().Status;

    public Model Model => Status.Model ?? throw new InvalidOperationException($"{Status.State} {Status.Reason}");

    /// <summary>Copies a folder, edits the copy and loads it.</summary>
    public static async Task<EditedFolder> Load(string source, Action<string> edit, ModelSettings? settings = null)
    {
        var folder = new EditedFolder(source, edit, settings ?? ModelSettings.None);
        await folder.registry.LoadAllAsync();
        return folder;
    }

    /// <summary>Writes a file of the folder.</summary>
    public static void Write(string folder, string file, JsonNode content)
    {
        var path = Path.Combine(folder, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, content.ToJsonString());
    }

    /// <summary>modules.json with modules of these types and paths.</summary>
    public static void WriteModules(string folder, params (string Type, string Path)[] modules) => Write(
        folder, "modules.json", new JsonArray([.. modules.Select((module, i) => (JsonNode)new JsonObject { ["idx"] = i, ["name"] = $"{i}", ["path"] = module.Path, ["type"] = module.Type })]));

    public async ValueTask DisposeAsync()
    {
        await registry.DisposeAsync();
        directory.Dispose();
    }
}
