using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tests.Scheduling;
using Xunit;

namespace InferenceServer.Engine.Tests.Serving;

/// <summary>Load, unload and reload while requests run: nobody uses a model that was released, and nobody fails because of a reload.</summary>
public sealed class LeaseTests : IAsyncLifetime
{
    private readonly TemporaryFolder models = new();
    private ModelRegistry registry = null!;

    private string Folder => Path.Combine(models.Path, "demo-language");

    public async ValueTask InitializeAsync()
    {
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), Folder);
        registry = new ModelRegistry(new LoadingOptions { Directory = models.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu } });
        await registry.LoadAllAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await registry.DisposeAsync();
        models.Dispose();
    }

    [Fact]
    public async Task A_reload_under_32_connections_fails_no_request()
    {
        using var stop = new CancellationTokenSource();
        var answered = 0;
        var clients = Enumerable.Range(0, 32).Select(_ => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                using var lease = registry.Acquire("demo-language");
                var model = lease.Model;
                using var permit = lease.Enter(new RequestContext());
                var length = await model.Executor.RunOneAsync(new GraphInput(model.Tokenizer.Encode("O gato dorme.").Ids), model.Graph.Outputs[0].Name, (_, length) => length, new RequestContext());
                Assert.True(length > 2);
                Interlocked.Increment(ref answered);
            }
        })).ToList();

        for (var i = 2; i <= 6; i++)
        {
            var before = Volatile.Read(ref answered);
            Assert.Equal((ModelState.Ready, i), await registry.ReloadAsync("demo-language", TestContext.Current.CancellationToken) is var s ? (s.State, s.Generation) : default);
            while (Volatile.Read(ref answered) < before + 50 && clients.TrueForAll(c => !c.IsCompleted))
            {
                await Task.Yield();
            }
        }

        await stop.CancelAsync();
        await Task.WhenAll(clients); // a failed request fails its client
        Assert.True(answered >= 250, $"{answered} answers");
    }

    [Fact]
    public async Task Unloading_waits_for_those_who_have_begun_and_takes_no_more()
    {
        var lease = registry.Acquire("demo-language");
        var model = lease.Model;
        var unloading = registry.UnloadAsync("demo-language");
        Assert.Equal(ErrorCode.NotLoaded, Assert.Throws<InferenceException>(() => registry.Acquire("demo-language")).Code);
        Assert.Equal(3, await model.Executor.RunOneAsync(new GraphInput([2, 5, 3]), model.Graph.Outputs[0].Name, (_, length) => length));
        Assert.False(unloading.IsCompleted);
        lease.Dispose();
        lease.Dispose(); // once is enough
        Assert.Equal(ModelState.Unloaded, (await unloading).State);
        var late = model.Executor.RunOneAsync(new GraphInput([2, 5, 3]), model.Graph.Outputs[0].Name, (_, length) => length);
        Assert.Equal(ErrorCode.Unavailable, (await Assert.ThrowsAsync<InferenceException>(() => late)).Code);

        Assert.Equal((ModelState.Ready, 2), await registry.LoadAsync("demo-language", TestContext.Current.CancellationToken) is var s ? (s.State, s.Generation) : default);
        using var next = registry.Acquire("demo-language");
        Assert.NotSame(model, next.Model);
    }

    [Fact]
    public async Task A_reload_that_fails_says_why_and_keeps_the_old_model()
    {
        var tokenizer = Path.Combine(Folder, "tokenizer.json");
        var whole = await File.ReadAllTextAsync(tokenizer, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(tokenizer, "{", TestContext.Current.CancellationToken);
        var outcome = await registry.ReloadAsync("demo-language", TestContext.Current.CancellationToken);
        Assert.Equal(ModelState.Failed, outcome.State);
        Assert.Contains("tokenizer.json", outcome.Reason, StringComparison.Ordinal);
        Assert.Equal((ModelState.Ready, 1), (registry.Get("demo-language").Status.State, registry.Get("demo-language").Status.Generation));
        using var lease = registry.Acquire("demo-language");
        Assert.Equal(3, await lease.Model.Executor.RunOneAsync(new GraphInput([2, 5, 3]), lease.Model.Graph.Outputs[0].Name, (_, length) => length));
        await File.WriteAllTextAsync(tokenizer, whole, TestContext.Current.CancellationToken);
        lease.Dispose();
        Assert.Equal(2, (await registry.ReloadAsync("demo-language", TestContext.Current.CancellationToken)).Generation);
    }

    [Fact]
    public async Task Operations_at_once_on_one_model_run_one_after_the_other()
    {
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 9).Select(i => Task.Run(() => (i % 3) switch
        {
            0 => registry.ReloadAsync("demo-language"),
            1 => registry.UnloadAsync("demo-language"),
            _ => registry.LoadAsync("demo-language"),
        })));
        Assert.All(outcomes, o => Assert.Contains(o.State, new[] { ModelState.Ready, ModelState.Unloaded }));
        await registry.LoadAsync("demo-language", TestContext.Current.CancellationToken);
        using var lease = registry.Acquire("demo-language");
        Assert.Equal(3, await lease.Model.Executor.RunOneAsync(new GraphInput([2, 5, 3]), lease.Model.Graph.Outputs[0].Name, (_, length) => length));
    }

    [Fact]
    public async Task A_new_folder_is_found_and_a_path_is_none()
    {
        TemporaryFolder.Copy(Folder, Path.Combine(models.Path, "second"));
        Assert.Equal(ModelState.Ready, (await registry.LoadAsync("second", TestContext.Current.CancellationToken)).State);
        foreach (var id in (string[])["../demo-language", "demo-language/onnx", ".", "absent"])
        {
            Assert.Equal(ErrorCode.UnknownModel, (await Assert.ThrowsAsync<InferenceException>(() => registry.LoadAsync(id, TestContext.Current.CancellationToken))).Code);
        }
    }
}
