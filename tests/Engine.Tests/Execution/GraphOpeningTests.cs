using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Engine.Tests.Execution;

/// <summary>Variants that are opened at a request: what the environment causes passes, what the file holds stays.</summary>
public sealed class GraphOpeningTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly FakeTimeProvider time = new();
    private readonly List<ModelLoadException> told = [];

    [Fact]
    public async Task A_file_that_is_gone_is_looked_for_again_after_pauses_and_found_when_it_is_back()
    {
        using var graph = Open(out var file);
        File.Move(file, file + ".away");

        foreach (var pause in (int[])[1, 2, 4, 8, 16, 32, 60, 60])
        {
            var failure = await Assert.ThrowsAsync<ModelLoadException>(() => graph.OpenAsync(OutputSet.Attention, 1));
            Assert.Equal(TimeSpan.FromSeconds(pause), failure.RetryAfter);
            Assert.Contains("not there any more", failure.Message, StringComparison.Ordinal);
            await Assert.ThrowsAsync<ModelLoadException>(() => graph.OpenAsync(OutputSet.Attention, 1)); // the same attempt
            time.Advance(TimeSpan.FromSeconds(pause));
        }

        Assert.Equal(8, told.Count); // once for each pause

        File.Move(file + ".away", file);
        await graph.OpenAsync(OutputSet.Attention, 1);
        Assert.NotNull(graph.Opened(OutputSet.Attention, 1));
    }

    [Fact]
    public async Task A_file_that_was_replaced_is_not_mixed_with_the_one_that_was_loaded()
    {
        using var graph = Open(out var file);
        File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddDays(1));
        var failure = await Assert.ThrowsAsync<ModelLoadException>(() => graph.OpenAsync(OutputSet.Attention, 1));
        Assert.Contains("has been changed", failure.Message, StringComparison.Ordinal);
        Assert.NotNull(failure.RetryAfter);
    }

    [Fact]
    public async Task What_the_file_holds_is_remembered()
    {
        using var graph = Open(out _, expose: _ => [1, 2, 3]);
        var failure = await Assert.ThrowsAsync<ModelLoadException>(() => graph.OpenAsync(OutputSet.Attention, 1));
        Assert.Null(failure.RetryAfter);
        Assert.Contains("eager", failure.Message, StringComparison.Ordinal);
        time.Advance(TimeSpan.FromDays(1));
        Assert.Same(failure, await Assert.ThrowsAsync<ModelLoadException>(() => graph.OpenAsync(OutputSet.Attention, 1)));
        Assert.Single(told);
    }

    [Fact]
    public async Task A_request_is_told_to_come_again_and_no_path()
    {
        using var graph = Open(out var file);
        File.Delete(file);
        var options = new QueueOptions();
        var scheduler = new Scheduler(1, options, new BatchPlanner(options, 64, 1), time);
        await using var executor = new GraphExecutor("m", graph, new Admission(options), scheduler);
        var output = OnnxGraph.Read(Path.Combine(Repository.Models, "demo-language", "onnx", "model.onnx"), ModelConfig.From(default)).Summary.Attention[0].Output;
        var failure = await Assert.ThrowsAsync<InferenceException>(() => executor.RunAsync([new GraphInput([2, 3])], [output], (_, row) => row.Length, new RequestContext(TestContext.Current.CancellationToken)));
        Assert.Equal((ErrorCode.Unavailable, TimeSpan.FromSeconds(1)), (failure.Code, failure.RetryAfter));
        Assert.DoesNotContain(folder.Path, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_cannot_be_read_is_not_called_damaged()
    {
        var failure = Assert.Throws<ModelLoadException>(() => Graph.Open(Source(Path.Combine(folder.Path, "absent.onnx"), null), ZooGraph.Cpu, time, TestContext.Current.CancellationToken));
        Assert.Contains("cannot be read", failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("xport", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_copy_that_was_removed_is_replaced_by_the_file()
    {
        var device = ExecutionDevice.Resolve(new ExecutionOptions { Provider = ExecutionProvider.Cpu, CacheDirectory = folder.Path }, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
        var manifest = ModelManifest.Read(Path.Combine(Repository.Models, "demo-bert"));
        var read = OnnxGraph.Read(manifest.Files.Main, manifest.Config);
        using var graph = Graph.Open(new GraphSource(read.Summary, manifest.Config, path => path == read.Summary.File ? read.ReadModel() : OnnxGraph.Read(path, manifest.Config).ReadModel()), device, time, TestContext.Current.CancellationToken);
        Assert.Null(graph.NotShared);
        Directory.GetDirectories(folder.Path).ToList().ForEach(copy => Directory.Delete(copy, recursive: true));
        await graph.OpenAsync(OutputSet.Attention, 1);
        await graph.OpenAsync(OutputSet.Plain, 2);
        Assert.NotNull(graph.Opened(OutputSet.Attention, 1));
    }

    public void Dispose() => folder.Dispose();

    private Graph Open(out string file, Func<string, byte[]?>? expose = null)
    {
        file = Path.Combine(folder.Path, "model.onnx");
        File.Copy(Path.Combine(Repository.Models, "demo-language", "onnx", "model.onnx"), file);
        var graph = Graph.Open(Source(file, expose), ZooGraph.Cpu, time);
        graph.OpeningFailed = told.Add;
        return graph;
    }

    private static GraphSource Source(string file, Func<string, byte[]?>? expose)
    {
        var config = ModelManifest.Read(Path.Combine(Repository.Models, "demo-language")).Config;
        if (!File.Exists(file))
        {
            return new GraphSource(new GraphSummary { File = file, Inputs = [], Outputs = [], Attention = [] }, config, _ => null);
        }

        var graph = OnnxGraph.Read(file, config);
        return new GraphSource(graph.Summary, config, expose ?? (_ => graph.ReadModel()));
    }
}
