using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace InferenceServer.Engine.Tests.Execution;

/// <summary>Optimized copies: the same numbers, attention too, kept where a folder is set, and harmless where they cannot be kept.</summary>
public sealed class PreparedGraphTests : IDisposable
{
    private static readonly string Bert = Path.Combine(Repository.Models, "demo-bert");
    private readonly TemporaryFolder cache = new();

    [Fact]
    public async Task A_kept_copy_gives_the_same_as_the_file_with_one_thread_with_more_and_for_attention()
    {
        using var plain = Open(null);
        using var written = Open(cache.Path);
        using var found = Open(cache.Path);
        Assert.Null(written.NotShared);
        Assert.Single(Directory.GetDirectories(cache.Path));
        var input = new GraphInput([2, 17, 40, 5, 3]);
        foreach (var graph in (Graph[])[written, found])
        {
            await graph.OpenAsync(OutputSet.Plain, 2);
            await graph.OpenAsync(OutputSet.Attention, 1);
            await plain.OpenAsync(OutputSet.Attention, 1);
            foreach (var output in plain.Outputs)
            {
                Assert.Equal(Values(plain, OutputSet.Plain, 1, output, input), Values(graph, OutputSet.Plain, 1, output, input));
                Close(Values(plain, OutputSet.Plain, 1, output, input), Values(graph, OutputSet.Plain, 2, output, input));
            }

            foreach (var tap in OnnxGraph.Read(Manifest().Files.Main, Manifest().Config).Summary.Attention)
            {
                Close(Values(plain, OutputSet.Attention, 1, tap.Output, input), Values(graph, OutputSet.Attention, 1, tap.Output, input));
            }
        }
    }

    [Fact]
    public void A_copy_that_was_cut_short_is_made_again()
    {
        Open(cache.Path).Dispose();
        var weights = Directory.GetFiles(cache.Path, "weights.bin", SearchOption.AllDirectories).Single();
        using (var stream = File.OpenWrite(weights))
        {
            stream.SetLength(stream.Length / 2);
        }

        using var graph = Open(cache.Path);
        Assert.NotEmpty(Values(graph, OutputSet.Plain, 1, graph.Outputs[0], new GraphInput([2, 3])));
    }

    [Fact]
    public void Where_nothing_can_be_kept_the_file_is_served_and_the_reason_told()
    {
        var file = Path.Combine(cache.Path, "a-file");
        File.WriteAllText(file, "");
        using var graph = Open(Path.Combine(file, "cache"));
        Assert.NotNull(graph.NotShared);
        Assert.NotEmpty(Values(graph, OutputSet.Plain, 1, graph.Outputs[0], new GraphInput([2, 3])));
    }

    [Fact]
    public void Measured_costs_are_kept_between_starts_and_a_damaged_file_is_measured_again()
    {
        var failures = new List<Exception>();
        var store = new CostStore(cache.Path, failures.Add);
        Assert.Null(store.Find("k", 1));
        store.Keep("k", 1, new CostModel(1, 2, 3));
        Assert.Equal(new CostModel(1, 2, 3), new CostStore(cache.Path, failures.Add).Find("k", 1));
        Assert.Null(store.Find("k", 2));
        File.WriteAllText(Directory.GetFiles(cache.Path, "*.cost.json").Single(), "{");
        Assert.Null(store.Find("k", 1));
        Assert.Empty(failures);
        var unwritable = new CostStore(Path.Combine(Directory.GetFiles(cache.Path).First(), "sub"), failures.Add);
        unwritable.Keep("k", 1, default);
        unwritable.Keep("k", 1, default);
        Assert.Single(failures); // told once
    }

    public void Dispose() => cache.Dispose();

    private static ModelManifest Manifest() => ModelManifest.Read(Bert);

    private static Graph Open(string? cache)
    {
        var manifest = Manifest();
        var graph = OnnxGraph.Read(manifest.Files.Main, manifest.Config);
        var device = ExecutionDevice.Resolve(new ExecutionOptions { Provider = ExecutionProvider.Cpu, CacheDirectory = cache }, NullLogger.Instance);
        return Graph.Open(new GraphSource(graph.Summary, manifest.Config, path => path == graph.Summary.File ? graph.ReadModel() : OnnxGraph.Read(path, manifest.Config).ReadModel()), device);
    }

    private static float[] Values(Graph graph, OutputSet set, int threads, string output, GraphInput input)
    {
        using var run = graph.Opened(set, threads)!.Run([input], [output], CancellationToken.None);
        return run.Row(output, 0).Data.ToArray();
    }

    private static void Close(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.True(expected.Zip(actual, (a, b) => Math.Abs(a - b)).Max() < 1e-5);
    }
}
