using InferenceServer.Engine.Batching;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Sessions;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Engine.Tests.Batching;

/// <summary>The queue over a graph that the test holds and releases: who rides with whom, who is answered what.</summary>
public sealed class GraphQueueTests
{
    private readonly FakeTimeProvider time = new();

    [Fact]
    public async Task What_comes_while_the_lane_runs_rides_together_with_the_outputs_that_anyone_wants()
    {
        var runner = new FakeRunner { Held = true };
        await using var queue = Queue(runner);
        var first = Run(queue, 3);
        await runner.StartedAsync();
        Task<float[]>[] waiting = [Run(queue, 12), Run(queue, 10, output: "z"), Run(queue, 11)];
        runner.Release(2);
        Assert.Equal(3, (await first).Length);
        Assert.Equal([12, 10, 11], (await Task.WhenAll(waiting)).Select(r => r.Length));
        Assert.Equal([[3], [10, 11, 12]], runner.Batches.Select(b => b.Lengths));
        Assert.Equal(["y", "z"], runner.Batches.Last().Outputs);
    }

    [Fact]
    public async Task A_sequence_whose_outputs_would_fill_the_memory_is_refused_before_it_runs()
    {
        var runner = new FakeRunner { Bytes = (rows, length) => (long)rows * length * length * (1L << 20) };
        await using var queue = new GraphQueue(runner, new QueueOptions(), 1, "m", NullLogger.Instance, time);
        var refused = await Assert.ThrowsAsync<InferenceException>(() => Run(queue, 100));
        Assert.Equal(ErrorCode.TooLarge, refused.Code);
        Assert.Equal(nameof(QueueOptions.MaxSequenceOutputBytes), refused.Limit);
        Assert.Empty(runner.Batches);
        Assert.Equal(3, (await Run(queue, 3)).Length);
    }

    [Fact]
    public async Task A_defect_in_the_packing_fails_what_waits_and_the_queue_goes_on()
    {
        var broken = true;
        var runner = new FakeRunner { Held = true, Bytes = (rows, length) => broken && rows > 1 ? throw new InvalidOperationException("defect") : 4L * rows * length };
        await using var queue = Queue(runner);
        var first = Run(queue, 3);
        await runner.StartedAsync();
        Task<float[]>[] waiting = [Run(queue, 5), Run(queue, 5)];
        runner.Release(2);
        await first;
        foreach (var rider in waiting)
        {
            Assert.Equal(ErrorCode.Internal, (await Assert.ThrowsAsync<InferenceException>(() => rider.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken))).Code);
        }

        broken = false;
        Assert.Equal(4, (await Run(queue, 4)).Length);
    }

    [Fact]
    public async Task Nothing_waits_while_a_lane_is_idle()
    {
        var runner = new FakeRunner { Held = true };
        await using var queue = Queue(runner, lanes: 2);
        var first = Run(queue, 3);
        await runner.StartedAsync();
        var second = Run(queue, 4);
        await runner.StartedAsync(); // no time passes, and the first still runs
        runner.Release(2);
        await Task.WhenAll(first, second);
    }

    [Fact]
    public async Task A_ride_is_recorded_in_its_request()
    {
        var runner = new FakeRunner { Held = true, OnRun = _ => time.Advance(TimeSpan.FromMilliseconds(30)) };
        await using var queue = Queue(runner);
        var first = Run(queue, 3);
        await runner.StartedAsync();
        var context = new RequestContext();
        var riders = new[] { Run(queue, 5, context), Run(queue, 5, context) };
        runner.Release(2);
        await Task.WhenAll(riders);
        await first;
        Assert.Equal(2, context.BatchSize);
        Assert.Equal(TimeSpan.FromMilliseconds(30), context.Queue);
        Assert.Equal(TimeSpan.FromMilliseconds(30), context.Inference);
    }

    [Fact]
    public async Task Who_goes_while_waiting_never_runs()
    {
        var runner = new FakeRunner { Held = true };
        await using var queue = Queue(runner);
        var first = Run(queue, 3);
        await runner.StartedAsync();
        using var client = new CancellationTokenSource();
        var gone = Run(queue, 7, new RequestContext(client.Token));
        var stays = Run(queue, 7);
        await client.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => gone);
        runner.Release(2);
        await Task.WhenAll(first, stays);
        Assert.Equal([[3], [7]], runner.Batches.Select(b => b.Lengths));
    }

    [Fact]
    public async Task A_run_that_everybody_left_is_terminated_and_the_lane_goes_on()
    {
        var runner = new FakeRunner { Held = true };
        await using var queue = Queue(runner);
        using var client = new CancellationTokenSource();
        var gone = Run(queue, 3, new RequestContext(client.Token));
        await runner.StartedAsync();
        await client.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => gone);
        var next = Run(queue, 4);
        await runner.StartedAsync(); // runs although nobody released the first
        runner.Release();
        Assert.Equal(4, (await next).Length);
        Assert.Equal(1, runner.Terminated);
    }

    [Fact]
    public async Task A_run_that_somebody_waits_for_is_not_terminated()
    {
        var runner = new FakeRunner { Held = true };
        await using var queue = Queue(runner);
        var first = Run(queue, 3);
        await runner.StartedAsync();
        using var client = new CancellationTokenSource();
        var gone = Run(queue, 5, new RequestContext(client.Token));
        var stays = Run(queue, 5);
        runner.Release();
        await first;
        await runner.StartedAsync();
        await client.CancelAsync();
        runner.Release();
        Assert.Equal(5, (await stays).Length);
        Assert.True(gone.IsCanceled);
        Assert.Equal(0, runner.Terminated);
    }

    [Fact]
    public async Task An_input_that_fails_fails_alone_and_the_lane_goes_on()
    {
        var runner = new FakeRunner
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
        await using var queue = Queue(runner);
        var first = Run(queue, 3);
        await runner.StartedAsync();
        var (good, bad, also) = (Run(queue, 5), Run(queue, 5, id: 13), Run(queue, 5));
        runner.Release(10);
        await Task.WhenAll(first, good, also);
        var e = await Assert.ThrowsAsync<InferenceException>(() => bad);
        Assert.Equal(ErrorCode.Internal, e.Code);
        Assert.DoesNotContain("secret", e.Message, StringComparison.Ordinal);
        Assert.Equal(6, (await Run(queue, 6)).Length);
    }

    [Fact]
    public async Task The_graphs_own_refusal_reaches_the_client_as_it_is()
    {
        var refusal = InferenceException.Unprocessable(Argument.Of("Inputs"), $"no");
        await using var queue = Queue(new FakeRunner { OnRun = _ => throw refusal });
        Assert.Same(refusal, await Assert.ThrowsAsync<InferenceException>(() => Run(queue, 3)));
    }

    [Fact]
    public async Task A_reader_that_throws_fails_only_its_own_row()
    {
        var runner = new FakeRunner { Held = true };
        await using var queue = Queue(runner);
        var first = Run(queue, 3);
        await runner.StartedAsync();
        var bad = queue.RunAsync<int>(new GraphInput([1, 1]), ["y"], _ => throw new InvalidOperationException(), new RequestContext());
        var good = Run(queue, 2);
        runner.Release(2);
        await Task.WhenAll(first, good);
        Assert.Equal(ErrorCode.Internal, (await Assert.ThrowsAsync<InferenceException>(() => bad)).Code);
        Assert.Equal(2, runner.Batches.Count); // the batch did not run again
    }

    [Fact]
    public async Task A_full_door_says_when_to_come_back()
    {
        var runner = new FakeRunner { Held = true, OnRun = _ => time.Advance(TimeSpan.FromSeconds(1)) };
        await using var queue = Queue(runner, new QueueOptions { MaxWaitingTokens = 1000 });
        var measured = Run(queue, 100);
        await runner.StartedAsync();
        runner.Release();
        await measured; // 100 tokens a second
        var running = Run(queue, 100);
        await runner.StartedAsync();
        var waiting = Run(queue, 1000);
        var e = await Assert.ThrowsAsync<InferenceException>(() => Run(queue, 1));
        Assert.Equal(ErrorCode.QueueFull, e.Code);
        Assert.Equal(TimeSpan.FromSeconds(5), e.RetryAfter); // when half of 1000 tokens have drained
        Assert.Contains("1000", e.Message, StringComparison.Ordinal);
        runner.Release(2);
        await Task.WhenAll(running, waiting);
        runner.Release();
        Assert.Single(await Run(queue, 1)); // there is room again
    }

    [Theory]
    [InlineData(1, 100)]
    [InlineData(100, 1)]
    public async Task The_door_counts_requests_and_sequences(int requests, int sequences)
    {
        var runner = new FakeRunner { Held = true };
        await using var queue = Queue(runner, new QueueOptions { MaxWaitingRequests = requests, MaxWaitingSequences = sequences });
        var running = Run(queue, 3);
        await runner.StartedAsync();
        using var client = new CancellationTokenSource();
        var waiting = Run(queue, 3, new RequestContext(client.Token));
        Assert.Equal(ErrorCode.QueueFull, (await Assert.ThrowsAsync<InferenceException>(() => Run(queue, 3))).Code);
        await client.CancelAsync(); // who goes makes room at once
        var next = Run(queue, 3);
        runner.Release(2);
        await Task.WhenAll(running, next);
        Assert.True(waiting.IsCanceled);
    }

    [Fact]
    public async Task A_request_that_does_not_fit_is_refused_as_a_whole()
    {
        var runner = new FakeRunner { Held = true };
        await using var queue = Queue(runner, new QueueOptions { MaxWaitingSequences = 2 });
        var running = Run(queue, 3);
        await runner.StartedAsync();
        var request = new RequestContext();
        var parts = Enumerable.Range(0, 3).Select(_ => Run(queue, 5, request)).ToArray();
        foreach (var part in parts)
        {
            Assert.Equal(ErrorCode.QueueFull, (await Assert.ThrowsAsync<InferenceException>(() => part)).Code);
        }

        runner.Release();
        await running;
        Assert.Single(runner.Batches);
    }

    [Fact]
    public async Task At_the_end_what_runs_is_answered_and_what_waits_is_told()
    {
        var runner = new FakeRunner { Held = true };
        var queue = Queue(runner);
        var running = Run(queue, 3);
        await runner.StartedAsync();
        var waiting = Run(queue, 3);
        var end = queue.DisposeAsync();
        Assert.Equal(ErrorCode.Unavailable, (await Assert.ThrowsAsync<InferenceException>(() => waiting)).Code);
        Assert.Equal(ErrorCode.Unavailable, (await Assert.ThrowsAsync<InferenceException>(() => Run(queue, 3))).Code);
        runner.Release();
        await end;
        Assert.Equal(3, (await running).Length);
    }

    [Fact]
    public async Task What_cannot_run_is_refused_at_the_door()
    {
        await using var queue = Queue(new FakeRunner());
        Assert.Equal(ErrorCode.Unprocessable, (await Assert.ThrowsAsync<InferenceException>(() => Run(queue, 0))).Code);
        Assert.Equal(ErrorCode.Internal, (await Assert.ThrowsAsync<InferenceException>(() => Run(queue, 3, output: "nothing"))).Code);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Run(queue, 3, new RequestContext(new CancellationToken(true))));
    }

    [Fact]
    public async Task Everybody_gets_the_own_row_under_many_lanes_and_cancellations()
    {
        var random = new Random(7);
        await using var queue = new GraphQueue(new FakeRunner(), new QueueOptions { MaxBatchTokens = 128 }, 4, "fake", NullLogger.Instance);
        var lengths = Enumerable.Range(0, 2000).Select(_ => random.Next(1, 64)).ToArray();
        await Parallel.ForEachAsync(Enumerable.Range(0, lengths.Length), TestContext.Current.CancellationToken, async (i, _) =>
        {
            using var client = new CancellationTokenSource();
            var run = Run(queue, lengths[i], new RequestContext(client.Token), id: i);
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

    private static Task<float[]> Run(GraphQueue queue, int length, RequestContext? context = null, string output = "y", int id = 1) =>
        queue.RunAsync(new GraphInput([.. Enumerable.Repeat(id, length)]), [output], row => row[output].Data.ToArray(), context ?? new RequestContext());

    private GraphQueue Queue(FakeRunner runner, QueueOptions? options = null, int lanes = 1) => new(runner, options ?? new QueueOptions(), lanes, "fake", NullLogger.Instance, time);
}
