using System.Text.Json;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Engine.Tests.Execution;

/// <summary>A zoo folder's graph, without its tokenizer: the ids come from expected.json.</summary>
internal sealed class ZooGraph : IDisposable
{
    private static readonly Lazy<ExecutionDevice> LazyCpu = new(() => ExecutionDevice.Resolve(new ExecutionOptions { Provider = ExecutionProvider.Cpu }, NullLogger.Instance));

    private ZooGraph(Graph graph, GraphSummary summary, IReadOnlyList<(string Id, GraphInput Input)> cases, SafeTensors expected, double tolerance)
    {
        Graph = graph;
        Summary = summary;
        Cases = cases;
        Expected = expected;
        Tolerance = tolerance;
    }

    public static ExecutionDevice Cpu => LazyCpu.Value;

    /// <summary>The graph with its own outputs.</summary>
    public Graph Graph { get; }

    /// <summary>The variant that shows its attention.</summary>
    public IGraphVariant Attention
    {
        get
        {
            Graph.OpenAsync(OutputSet.Attention, 1).GetAwaiter().GetResult();
            return Graph.Opened(OutputSet.Attention, 1)!;
        }
    }

    public GraphSummary Summary { get; }

    public IReadOnlyList<(string Id, GraphInput Input)> Cases { get; }

    public SafeTensors Expected { get; }

    /// <summary>How far the file may be from the reference: 1e-3 for float32 logits, else what the folder says of the file.</summary>
    public double Tolerance { get; }

    public static ZooGraph Load(string folder, string? file = null)
    {
        var path = Path.Combine(TestData.Zoo, folder);
        var manifest = ModelManifest.Read(path, file);
        var graph = OnnxGraph.Read(manifest.Files.Main, manifest.Config);
        var session = Graph.Open(new GraphSource(graph.Summary, manifest.Config, _ => graph.ReadModel()), Cpu);
        session.PadId = manifest.Config.PadTokenId ?? 0;
        using var expected = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(path, "expected.json")));
        var cases = expected.RootElement.GetProperty("cases").EnumerateArray().Select((c, i) => (
            $"case{i}",
            new GraphInput(Ints(c.GetProperty("input_ids")), c.TryGetProperty("token_type_ids", out var types) && types.ValueKind == JsonValueKind.Array ? Ints(types) : null))).ToList();
        var tolerance = file is not null && expected.RootElement.TryGetProperty("tolerance", out var tolerances) && tolerances.TryGetProperty(file, out var value) ? value.GetDouble() : 1e-3;
        return new ZooGraph(session, graph.Summary, cases, SafeTensors.Open(Path.Combine(path, "expected.safetensors"), "expected.safetensors"), tolerance);
    }

    /// <summary>Reads a row's first <c>Length</c> positions, or the whole row where it has no positions.</summary>
    public static float[] Valid(RowOutputs row, string output)
    {
        var read = row[output];
        return read.Shape.Length == 2 ? read.Data[..(row.Length * read.Shape[1])].ToArray() : read.Data.ToArray();
    }

    /// <summary>The reference values that a row of the output is compared with: (tensor, which position; null = all).</summary>
    public IEnumerable<(float[] Values, int? Position)> References(string id, string output, int length)
    {
        foreach (var name in new[] { $"{id}.{output}", $"{id}.encoder_{output}" }.Where(Expected.Names.Contains))
        {
            yield return (Expected.Read(name)!.Value.Values, null);
        }

        if (output == "logits" && Expected.Names.Contains($"{id}.logits_last"))
        {
            yield return (Expected.Read($"{id}.logits_last")!.Value.Values, length - 1);
        }
    }

    public void Dispose() => Graph.Dispose();

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(e => e.GetInt32())];
}
