using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Serving;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Engine.Tests.Serving;

/// <summary>Folders whose graph never comes to an end: they fail at their time-out, keep nobody waiting, and do not keep the registry from closing.</summary>
public sealed class EndlessLoadingTests : IDisposable
{
    private readonly TemporaryFolder models = new();
    private readonly FakeTimeProvider time = new();

    [Fact]
    public async Task A_loop_without_an_end_is_terminated_at_the_time_out()
    {
        Put("endless", EndlessGraph.InRuns());
        Put("good");
        await using var registry = Registry();
        var loading = registry.LoadAllAsync(TestContext.Current.CancellationToken);
        await StateAsync(registry, "good", ModelState.Ready);
        Assert.Equal(ModelState.Loading, registry.Get("endless").Status.State);

        time.Advance(TimeSpan.FromSeconds(600));
        await loading;
        var status = registry.Get("endless").Status;
        Assert.Equal(ModelState.Failed, status.State);
        Assert.Contains("600 seconds", status.Reason, StringComparison.Ordinal);
        Assert.Contains("did not come to an end", status.Reason, StringComparison.Ordinal);
        Assert.True(registry.IsReady);
    }

    [Fact]
    public async Task An_opening_without_an_end_is_left_behind_and_not_tried_twice()
    {
        Put("endless", EndlessGraph.AtOpening(900)); // less than a minute: what is left behind goes on beside the tests that follow

        // In real time: the runtime must be inside the operator when the time is over, and nothing tells when it is.
        await using var registry = new ModelRegistry(new LoadingOptions { Directory = models.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu, LoadTimeoutSeconds = 3 } });
        await registry.LoadAllAsync(TestContext.Current.CancellationToken);
        Assert.Contains("opening its graph", registry.Get("endless").Status.Reason, StringComparison.Ordinal);

        var again = await registry.LoadAsync("endless", TestContext.Current.CancellationToken);
        Assert.Contains("restart the server", again.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task More_of_them_than_are_loaded_at_once_let_the_others_begin()
    {
        for (var i = 0; i < Environment.ProcessorCount; i++)
        {
            Put($"endless-{i}", EndlessGraph.InRuns());
        }

        Put("good");
        await using var registry = Registry();
        var loading = registry.LoadAllAsync(TestContext.Current.CancellationToken);
        await StateAsync(registry, "endless-0", ModelState.Loading);
        time.Advance(TimeSpan.FromSeconds(30)); // the places of those that began are given up, long before their time-out
        await StateAsync(registry, "good", ModelState.Ready);
        Assert.Equal(ModelState.Loading, registry.Get("endless-0").Status.State);
        await registry.DisposeAsync();
        await loading;
    }

    [Fact]
    public async Task Closing_ends_what_loads()
    {
        Put("endless", EndlessGraph.InRuns());
        var registry = Registry();
        var loading = registry.LoadAllAsync(TestContext.Current.CancellationToken);
        await registry.DisposeAsync();
        await loading;
        Assert.NotEqual(ModelState.Loading, registry.Get("endless").Status.State);
    }

    [Fact]
    public void An_inspection_tells_it_as_a_problem()
    {
        Put("endless", EndlessGraph.InRuns());
        var options = new LoadingOptions { Directory = models.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu, LoadTimeoutSeconds = 1 } };
        var report = FolderInspection.Inspect(Path.Combine(models.Path, "endless"), options);
        Assert.Contains("1 seconds", Assert.Single(report.Problems), StringComparison.Ordinal);
    }

    public void Dispose() => models.Dispose();

    private ModelRegistry Registry() => new(new LoadingOptions { Directory = models.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu } }, time: time);

    private static async Task StateAsync(ModelRegistry registry, string id, ModelState state)
    {
        while (registry.Find(id)?.Status.State != state)
        {
            await Task.Yield();
        }
    }

    private void Put(string id, byte[]? graph = null)
    {
        var folder = Path.Combine(models.Path, id);
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), folder);
        if (graph is not null)
        {
            File.WriteAllBytes(Path.Combine(folder, "onnx", "model.onnx"), graph);
        }
    }
}
