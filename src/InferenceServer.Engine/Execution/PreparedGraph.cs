using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using InferenceServer.Engine.Manifest;
using Microsoft.ML.OnnxRuntime;

namespace InferenceServer.Engine.Execution;

/// <summary>
/// What ONNX Runtime makes of a graph when it loads it, written to disk: constants folded, nodes fused, and the weights packed for this processor in a file of
/// their own, which every session of it maps into memory instead of making a copy (the session options of ONNX Runtime's
/// <c>save_external_prepacked_constant_initializers</c>). Kept in <see cref="ExecutionOptions.CacheDirectory"/>, else in a temporary folder that goes with the process.
/// </summary>
internal sealed class PreparedGraph : IDisposable
{
    private const string GraphName = "graph.onnx";
    private const string WeightsName = "weights.bin";
    private const string CompleteName = "complete";
    private const long SmallWeights = 4L << 20; // two copies cost less than the file
    private const long LargeWeights = 4L << 30; // a temporary copy would take minutes and the disk
    private const string SmallestExternal = "1024"; // bytes of an initializer that goes to the file of weights

    private readonly string? final; // where it goes when it is complete; null where it stays
    private readonly bool temporary;
    private (long Graph, long Weights)? written; // bytes of its files

    private PreparedGraph(string directory, string? final, bool temporary)
    {
        Directory = directory;
        this.final = final;
        this.temporary = temporary;
    }

    /// <summary>The folder that holds it.</summary>
    public string Directory { get; private set; }

    /// <summary>The optimized graph.</summary>
    public string File => Path.Combine(Directory, GraphName);

    /// <summary>The copy that an earlier start kept of the same file, for the same runtime and processor; null when there is none.</summary>
    public static PreparedGraph? Find(GraphSummary summary, ExecutionDevice device, string form = "")
    {
        if (device.IsGpu || device.CacheDirectory is not { } cache || WeightsOf(summary) < SmallWeights)
        {
            return null;
        }

        var found = new PreparedGraph(Path.Combine(cache, Key(summary, form)), null, temporary: false);
        found.written = found.Lengths();
        try
        {
            return System.IO.File.Exists(found.CompleteFile) && System.IO.File.ReadAllText(found.CompleteFile) == found.Sizes() ? found : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Where a copy is to be written; null when none is worth it or possible, <paramref name="whyNot"/> then says why, where a person may change it.</summary>
    public static PreparedGraph? Begin(GraphSummary summary, ExecutionDevice device, out string? whyNot, string form = "")
    {
        whyNot = null;
        var weights = WeightsOf(summary);
        if (device.IsGpu || weights < SmallWeights)
        {
            return null;
        }

        if (weights > LargeWeights && device.CacheDirectory is null)
        {
            whyNot = "a copy of so many weights is kept only where a cache directory is set for it";
            return null;
        }

        var parent = device.CacheDirectory ?? ProcessFolder.FullName;
        try
        {
            System.IO.Directory.CreateDirectory(parent);
            if (new DriveInfo(parent).AvailableFreeSpace < 3 * weights)
            {
                whyNot = $"{parent} has no room for a copy of the weights";
                return null;
            }

            var directory = Path.Combine(parent, "writing-" + Guid.NewGuid().ToString("n"));
            System.IO.Directory.CreateDirectory(directory);
            return new PreparedGraph(directory, device.CacheDirectory is null ? null : Path.Combine(parent, Key(summary, form)), temporary: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            whyNot = $"no copy can be written to {parent}: {e.Message.TrimEnd('.')}";
            return null;
        }
    }

    /// <summary>True while its files are there as they were written: mapping others would end the process.</summary>
    public bool IsIntact => written is { } lengths && lengths.Graph > 0 && Lengths() == lengths;

    /// <summary>Has the session that is opened next write the copy.</summary>
    public void WriteTo(SessionOptions options)
    {
        options.OptimizedModelFilePath = File;
        options.AddSessionConfigEntry("session.optimized_model_external_initializers_file_name", WeightsName);
        options.AddSessionConfigEntry("session.optimized_model_external_initializers_min_size_in_bytes", SmallestExternal);
        options.AddSessionConfigEntry("session.save_external_prepacked_constant_initializers", "1");
    }

    /// <summary>The copy is written: it is put where the next start finds it.</summary>
    public void Complete()
    {
        written = Lengths();
        if (final is null)
        {
            return;
        }

        System.IO.File.WriteAllText(CompleteFile, Sizes());
        try
        {
            System.IO.Directory.Move(Directory, final);
            Directory = final;
        }
        catch (IOException)
        {
            // Another process was quicker: this one keeps its own copy for as long as it runs.
        }
    }

    /// <summary>Removes a copy that is not kept.</summary>
    public void Dispose()
    {
        if (!temporary || Directory == final)
        {
            return;
        }

        try
        {
            System.IO.Directory.Delete(Directory, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It goes with the folder of the process.
        }
    }

    private string CompleteFile => Path.Combine(Directory, CompleteName);

    // A copy that was cut short has other sizes: mapping it would end the process.
    private string Sizes() => string.Create(CultureInfo.InvariantCulture, $"{new FileInfo(File).Length} {new FileInfo(Path.Combine(Directory, WeightsName)).Length}");

    private (long Graph, long Weights) Lengths()
    {
        var (graph, weights) = (new FileInfo(File), new FileInfo(Path.Combine(Directory, WeightsName)));
        return (graph.Exists ? graph.Length : -1, weights.Exists ? weights.Length : -1);
    }

    private static long WeightsOf(GraphSummary summary) => Files(summary).Sum(file => file.Length);

    private static IEnumerable<FileInfo> Files(GraphSummary summary) =>
        new[] { new FileInfo(summary.File) }.Concat(summary.ExternalData.Select(name => new FileInfo(Path.Combine(Path.GetDirectoryName(summary.File)!, name)))).Where(file => file.Exists);

    /// <summary>Names the same files (by path, size and time of writing), the same form of the graph, runtime and kind of processor: what was made of or measured on one holds for the other.</summary>
    public static string Key(GraphSummary summary, string form)
    {
        var text = new StringBuilder();
        foreach (var file in Files(summary))
        {
            text.Append(CultureInfo.InvariantCulture, $"{file.FullName}|{file.Length}|{file.LastWriteTimeUtc.Ticks}|");
        }

        text.Append(form).Append('|').Append(OrtEnv.Instance().GetVersionString()).Append('|').Append(Processor.Name);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())))[..32];
    }
}
