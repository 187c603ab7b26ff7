using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>Workers over a graph that the test holds and releases: what runs together, who is answered what.</summary>
public sealed class GraphExecutorTests
{
    private readonly FakeTimeProvider time = new();

    [Fact]
    public async Task A_run_that_lacks_memory_may_be_tried_again()
    {
        await using var device = new Device(new FakeGraph { OnRun = _ => throw new InsufficientMemoryException() });
        var error = await Assert.ThrowsAsync<InferenceException>(() => device.Run(3));
        Assert.Equal(ErrorCode.Unavailable, error.Code);
        Assert.NotNull(error.RetryAfter);
    }

    [Fact]
    public async Task What_comes_while_the_worker_runs_runs_together_with_the_outputs_that_anyone_wants()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph, time: time);
        var first = device.Run(3);
        await graph.StartedAsync();
        Task<float[]>[] waiting = [device.Run(12), device.Run(10, output: "z"), device.Run(11)];
        graph.Release(2);
        Assert.Equal(3, (await first).Length);
        Assert.Equal([12, 10, 11], (await Task.WhenAll(waiting)).Select(r => r.Length));
        Assert.Equal([[3], [10, 11, 12]], graph.Batches.Select(b => b.Lengths));
        Assert.Equal(["y", "z"], graph.Batches.Last().Outputs);
    }

    [Fact]
    public async Task A_sequence_whose_outputs_would_fill_the_memory_is_refused_before_it_runs()
    {
        var graph = new FakeGraph { Bytes = (_, rows, length) => (long)rows * length * length * (1L << 20) };
        await using var device = new Device(graph, time: time);
        var refused = await Assert.ThrowsAsync<InferenceException>(() => device.Run(100));
        Assert.Equal(ErrorCode.TooLarge, refused.Code);
        Assert.Equal(nameof(QueueOptions.MaxSequenceOutputBytes), refused.Limit);
        Assert.Empty(graph.Batches);
        Assert.Equal(3, (await device.Run(3)).Length);
    }

    [Fact]
    public async Task A_defect_in_the_packing_fails_what_waits_and_the_queue_goes_on()
    {
        var broken = true;
        var graph = new FakeGraph { Held = true, Bytes = (_, rows, length) => broken && rows > 1 ? throw new InvalidOperationException("defect") : 4L * rows * length };
        await using var device = new Device(graph, time: time);
        var first = device.Run(3);
        await graph.StartedAsync();
        Task<float[]>[] waiting = [device.Run(5), device.Run(5)];
        graph.Release(2);
        await first;
        foreach (var runr in waiting)
        {
            Assert.Equal(ErrorCode.Internal, (await Assert.ThrowsAsync<InferenceException>(() => runr.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken))).Code);
        }

        broken = false;
        Assert.Equal(4, (await device.Run(4)).Length);
    }

    [Fact]
    public async Task Nothing_waits_while_a_worker_is_idle()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph, workers: 2);
        var first = device.Run(3);
        await graph.StartedAsync();
        var second = device.Run(4);
        await graph.StartedAsync(); // no time passes, and the first still runs
        graph.Release(2);
        await Task.WhenAll(first, second);
    }

    [Fact]
    public async Task A_run_is_recorded_in_its_request()
    {
        var graph = new FakeGraph { Held = true, OnRun = _ => time.Advance(TimeSpan.FromMilliseconds(30)) };
        await using var device = new Device(graph, time: time);
        var first = device.Run(3);
        await graph.StartedAsync();
        var context = new RequestContext();
        var runrs = new[] { device.Run(5, context), device.Run(5, context) };
        graph.Release(2);
        await Task.WhenAll(runrs);
        await first;
        Assert.Equal(2, context.BatchSize);
        Assert.Equal(TimeSpan.FromMilliseconds(30), context.Queue);
        Assert.Equal(TimeSpan.FromMilliseconds(30), context.Inference);
    }

    [Fact]
    public async Task Who_goes_while_waiting_never_runs()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph, time: time);
        var first = device.Run(3);
        await graph.StartedAsync();
        using var client = new CancellationTokenSource();
        var gone = device.Run(7, new RequestContext(client.Token));
        var stays = device.Run(7);
        await client.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => gone);
        graph.Release(2);
        await Task.WhenAll(first, stays);
        Assert.Equal([[3], [7]], graph.Batches.Select(b => b.Lengths));
    }

    [Fact]
    public async Task A_run_that_everybody_left_is_terminated_and_the_worker_goes_on()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph, time: time);
        using var client = new CancellationTokenSource();
        var gone = device.Run(3, new RequestContext(client.Token));
        await graph.StartedAsync();
        await client.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => gone);
        var next = device.Run(4);
        await graph.StartedAsync(); // runs although nobody released the first
        graph.Release();
        Assert.Equal(4, (await next).Length);
        Assert.Equal(1, graph.Terminated);
    }

    [Fact]
    public async Task A_run_that_somebody_waits_for_is_not_terminated()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph, time: time);
        var first = device.Run(3);
        await graph.StartedAsync();
        using var client = new CancellationTokenSource();
        var gone = device.Run(5, new RequestContext(client.Token));
        var stays = device.Run(5);
        graph.Release();
        await first;
        await graph.StartedAsync();
        await client.CancelAsync();
        graph.Release();
        Assert.Equal(5, (await stays).Length);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => gone);
        Assert.Equal(0, graph.Terminated);
    }

    [Fact]
    public async Task An_input_that_fails_fails_alone_and_the_worker_goes_on()
    {
        var graph = new FakeGraph
        {
            Held = true,
            OnRun = rows =>
            {
                if (rows.Any(r => r.InputIds[0] == 13))
                {
                    throw new InvalidOperationException("a secret of the graph");
                }
            },
        };
        await using var device = new Device(graph, time: time);
        var first = device.Run(3);
        await graph.StartedAsync();
        var (good, bad, also) = (device.Run(5), device.Run(5, id: 13), device.Run(5));
        graph.Release(10);
        await Task.WhenAll(first, good, also);
        var e = await Assert.ThrowsAsync<InferenceException>(() => bad);
        Assert.Equal(ErrorCode.Internal, e.Code);
        Assert.DoesNotContain("secret", e.Message, StringComparison.Ordinal);
        Assert.Equal(6, (await device.Run(6)).Length);
    }

    [Fact]
    public async Task The_graphs_own_refusal_reaches_the_client_as_it_is()
    {
        var refusal = InferenceException.Unprocessable(Argument.Of("Inputs"), $"no");
        await using var device = new Device(new FakeGraph { OnRun = _ => throw refusal });
        Assert.Same(refusal, await Assert.ThrowsAsync<InferenceException>(() => device.Run(3)));
    }

    [Fact]
    public async Task A_reader_that_throws_fails_only_its_own_row()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph, time: time);
        var first = device.Run(3);
        await graph.StartedAsync();
        var bad = device.Executor.RunAsync<int>([new GraphInput([1, 1])], ["y"], (_, _) => throw new InvalidOperationException(), new RequestContext());
        var good = device.Run(2);
        graph.Release(2);
        await Task.WhenAll(first, good);
        Assert.Equal(ErrorCode.Internal, (await Assert.ThrowsAsync<InferenceException>(() => bad)).Code);
        Assert.Equal(2, graph.Batches.Count); // the batch did not run again
    }

    [Fact]
    public async Task A_full_admission_says_when_to_come_back()
    {
        var graph = new FakeGraph { Held = true, OnRun = _ => time.Advance(TimeSpan.FromSeconds(1)) };
        await using var device = new Device(graph, new QueueOptions { MaxWaitingTokens = 1000 }, time: time);
        var measured = device.Run(100);
        await graph.StartedAsync();
        graph.Release();
        await measured; // 100 tokens a second
        var running = device.Run(100);
        await graph.StartedAsync();
        var waiting = device.Run(1000);
        var e = await Assert.ThrowsAsync<InferenceException>(() => device.Run(1));
        Assert.Equal(ErrorCode.QueueFull, e.Code);
        Assert.Equal(TimeSpan.FromSeconds(5), e.RetryAfter); // when half of 1000 tokens have drained
        Assert.Contains("1000", e.Message, StringComparison.Ordinal);
        graph.Release(2);
        await Task.WhenAll(running, waiting);
        graph.Release();
        Assert.Single(await device.Run(1)); // there is room again
    }

    [Fact]
    public async Task Who_goes_makes_room_at_once()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph, new QueueOptions { MaxWaitingSequences = 1 });
        var running = device.Run(3);
        await graph.StartedAsync();
        using var client = new CancellationTokenSource();
        var waiting = device.Run(3, new RequestContext(client.Token));
        Assert.Equal(ErrorCode.QueueFull, (await Assert.ThrowsAsync<InferenceException>(() => device.Run(3))).Code);
        await client.CancelAsync();
        var next = device.Run(3);
        graph.Release(2);
        await Task.WhenAll(running, next);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    [Fact]
    public async Task A_request_that_does_not_fit_is_refused_as_a_whole()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph, new QueueOptions { MaxWaitingSequences = 2 });
        var running = device.Run(3);
        await graph.StartedAsync();
        var waiting = device.Run(5);
        Assert.Equal(ErrorCode.QueueFull, (await Assert.ThrowsAsync<InferenceException>(() => device.RunAll([6, 6]))).Code);
        graph.Release(2);
        await Task.WhenAll(running, waiting);
        Assert.Equal([[3], [5]], graph.Batches.Select(b => b.Lengths));
    }

    [Fact]
    public async Task At_the_end_what_runs_is_answered_and_what_waits_is_told()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph, time: time);
        var running = device.Run(3);
        await graph.StartedAsync();
        var waiting = device.Run(3);
        var end = device.Executor.DisposeAsync();
        Assert.Equal(ErrorCode.Unavailable, (await Assert.ThrowsAsync<InferenceException>(() => waiting)).Code);
        Assert.Equal(ErrorCode.Unavailable, (await Assert.ThrowsAsync<InferenceException>(() => device.Run(3))).Code);
        graph.Release();
        await end;
        Assert.Equal(3, (await running).Length);
    }

    [Fact]
    public async Task What_cannot_run_is_refused_at_admission()
    {
        await using var device = new Device();
        Assert.Equal(ErrorCode.Unprocessable, (await Assert.ThrowsAsync<InferenceException>(() => device.Run(0))).Code);
        Assert.Equal(ErrorCode.Internal, (await Assert.ThrowsAsync<InferenceException>(() => device.Run(3, output: "nothing"))).Code);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => device.Run(3, new RequestContext(new CancellationToken(true))));
    }

    [Fact]
    public async Task Everybody_gets_the_own_row_under_many_workers_and_cancellations()
    {
        var random = new Random(7);
        await using var device = new Device(workers: 4, batchTokens: 128);
        var lengths = Enumerable.Range(0, 2000).Select(_ => random.Next(1, 64)).ToArray();
        await Parallel.ForEachAsync(Enumerable.Range(0, lengths.Length), TestContext.Current.CancellationToken, async (i, _) =>
        {
            using var client = new CancellationTokenSource();
            var run = device.Run(lengths[i], new RequestContext(client.Token), id: i);
            if (i % 7 == 0)
            {
                await client.CancelAsync();
                await Task.WhenAny(run);
                Assert.True(run.IsCanceled || run.IsCompletedSuccessfully);
                return;
            }

            Assert.Equal(Enumerable.Repeat((float)i, lengths[i]), await run);
        });
    }
}
