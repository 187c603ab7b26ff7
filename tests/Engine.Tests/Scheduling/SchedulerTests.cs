using CsCheck;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>What a free worker is given, without any worker: the test takes the batches itself.</summary>
public sealed class SchedulerTests
{
    private readonly FakeTimeProvider time = new();

    [Fact]
    public void Nothing_is_lost_or_run_twice_and_bounds_hold() => Gen.Select(Gen.Int[1, 200].Array[1, 12].Array[1, 8], Gen.Int[1, 4], Gen.Int[16, 600]).Sample((requests, workers, tokens) =>
    {
        var (scheduler, executor) = Make(workers, 1, tokens);
        var all = requests.Select((lengths, i) => Enqueue(scheduler, executor, lengths, new RequestContext { Client = i % 3 })).SelectMany(items => items).ToList();
        var seen = new HashSet<WorkItem>();
        for (var batch = scheduler.Take(); batch is not null; batch = scheduler.Take())
        {
            Assert.All(batch.Items, item => Assert.True(seen.Add(item)));
            Assert.True(batch.Items.Count == 1 || batch.Items.Count * batch.Items[^1].PaddedLength <= tokens);
            Assert.Equal(batch.Items.OrderBy(item => item.PaddedLength).Select(item => item.PaddedLength), batch.Items.Select(item => item.PaddedLength));
            scheduler.Ended(batch);
        }

        Assert.Equal(all.Count, seen.Count);
        Assert.Equal((0, 0L), (executor.Admission.Sequences, executor.Admission.Tokens));
    });

    [Fact]
    public void Clients_get_equal_shares_however_much_each_has_brought()
    {
        var (scheduler, executor) = Make(1, 1, 64);
        Enqueue(scheduler, executor, Enumerable.Repeat(32, 400), new RequestContext { Client = "bulk" });
        Run(scheduler, 20);
        for (var i = 0; i < 30; i++)
        {
            // One text at a time, as somebody at a keyboard: it is in the first or the second batch from now.
            var item = Enqueue(scheduler, executor, [16], new RequestContext { Client = "keyboard" })[0];
            Run(scheduler, 2);
            Assert.True(item.Taken, $"text {i} still waits");
        }
    }

    [Fact]
    public void Bulk_work_gets_an_eighth_beside_interactive_work_and_everything_else_alone()
    {
        var (scheduler, executor) = Make(1, 1, 32);
        var bulk = Enqueue(scheduler, executor, Enumerable.Repeat(32, 400), new RequestContext { Client = "a", Priority = Priority.Bulk });
        var interactive = Enqueue(scheduler, executor, Enumerable.Repeat(32, 80), new RequestContext { Client = "b" });
        Run(scheduler, 90);
        Assert.InRange(bulk.Count(item => item.Taken), 9, 12);
        Assert.InRange(interactive.Count(item => item.Taken), 78, 80);
        Run(scheduler, 100);
        Assert.InRange(bulk.Count(item => item.Taken), 105, 112);
    }

    [Fact]
    public void Requests_of_many_clients_are_answered_one_after_the_other_and_none_is_passed_over_by_newcomers()
    {
        // A queue that stays full: whenever a request has been served, a new client comes with another one.
        var (scheduler, executor) = Make(1, 1, 320);
        var requests = new List<WorkItem[]>();
        var ended = new List<int>();
        for (var i = 0; i < 150; i++)
        {
            Come();
        }

        while (ended.Count < 1000 && scheduler.Take() is { } batch)
        {
            scheduler.Ended(batch);
            foreach (var group in batch.Items.Select(item => item.Group).Distinct().Where(group => requests.Single(items => items[0].Group == group).All(item => item.Taken)))
            {
                ended.Add(requests.FindIndex(items => items[0].Group == group));
                Come();
            }
        }

        Assert.All(ended.Select((request, place) => Math.Abs(request - place)), distance => Assert.InRange(distance, 0, 64));

        void Come() => requests.Add(Enqueue(scheduler, executor, Enumerable.Range(12, 16), new RequestContext { Client = new object() }));
    }

    [Fact]
    public void A_small_request_goes_before_large_ones_that_came_earlier_and_a_client_gets_no_more_by_asking_often()
    {
        var (scheduler, executor) = Make(1, 1, 30);
        var large = Enumerable.Range(0, 4).Select(i => Enqueue(scheduler, executor, Enumerable.Repeat(30, 200), new RequestContext { Client = i })).ToList();
        Run(scheduler, 1);
        var small = new List<WorkItem>();
        for (var i = 0; i < 400; i++)
        {
            small.AddRange(Enqueue(scheduler, executor, [20], new RequestContext { Client = "often" }));
            Run(scheduler, 1);
            Assert.True(small[0].Taken);
        }

        // Five clients, a fifth of the tokens for each, but for the first 1024; what one takes earlier it does not get later.
        Assert.InRange(small.Count(item => item.Taken), 100, 190);
        Assert.InRange(large.Sum(items => items.Count(item => item.Taken)), 200, 300);
    }

    [Fact]
    public void A_request_keeps_its_room_until_its_last_sequence_runs()
    {
        var (scheduler, executor) = Make(1, 1, 32);
        Enqueue(scheduler, executor, [32, 32, 32], new RequestContext());
        Run(scheduler, 2);
        Assert.Equal((1, 96L), (executor.Admission.Sequences, executor.Admission.Tokens));
        Run(scheduler, 1);
        Assert.Equal((0, 0L), (executor.Admission.Sequences, executor.Admission.Tokens));
    }

    [Fact]
    public void Of_one_client_the_earliest_deadline_goes_first_then_the_oldest()
    {
        var (scheduler, executor) = Make(1, 1, 8);
        var old = Enqueue(scheduler, executor, [8], new RequestContext { Client = 1 })[0];
        var late = Enqueue(scheduler, executor, [8], new RequestContext { Client = 1, Deadline = time.GetUtcNow().AddSeconds(60) })[0];
        var soon = Enqueue(scheduler, executor, [8], new RequestContext { Client = 1, Deadline = time.GetUtcNow().AddSeconds(1) })[0];
        var order = new List<WorkItem>();
        for (var batch = scheduler.Take(); batch is not null; batch = scheduler.Take())
        {
            order.AddRange(batch.Items);
            scheduler.Ended(batch);
        }

        Assert.Equal([soon, late, old], order);
    }

    [Fact]
    public void Models_get_equal_shares_of_the_workers()
    {
        var (scheduler, first) = Make(1, 1, 16);
        var second = new GraphExecutor("second", new FakeGraph(), new Admission(new QueueOptions()), scheduler);
        var many = Enqueue(scheduler, first, Enumerable.Repeat(16, 100), new RequestContext());
        var few = Enqueue(scheduler, second, Enumerable.Repeat(16, 20), new RequestContext());
        Run(scheduler, 40);
        Assert.Equal((20, 20), (many.Count(item => item.Taken), few.Count(item => item.Taken)));
    }

    [Fact]
    public void A_lone_request_gets_all_threads_and_a_full_queue_one_a_batch()
    {
        var (scheduler, executor) = Make(4, 4, 64);
        executor.Graph.OpenAsync(OutputSet.Plain, 4);
        executor.Costs.Set(OutputSet.Plain, 1, new CostModel(1, 0.25, 0));
        executor.Costs.Set(OutputSet.Plain, 4, new CostModel(1, 0.07, 0));
        Enqueue(scheduler, executor, [60], new RequestContext());
        var lone = scheduler.Take()!;
        Assert.Equal(4, lone.Threads);

        Enqueue(scheduler, executor, Enumerable.Repeat(60, 8), new RequestContext());
        Assert.Null(scheduler.Take()); // its threads are those of all workers
        scheduler.Ended(lone);
        var batches = Enumerable.Range(0, 4).Select(_ => scheduler.Take()!).ToList();
        Assert.All(batches, batch => Assert.Equal(1, batch.Threads));
        Assert.Null(scheduler.Take());
    }

    [Fact]
    public void After_a_pause_a_short_text_runs_on_one_thread_and_a_long_one_on_all()
    {
        var (scheduler, executor) = Make(2, 2, 1024);
        executor.Graph.OpenAsync(OutputSet.Plain, 2);
        executor.Costs.Set(OutputSet.Plain, 1, new CostModel(1, 0.25, 0));
        executor.Costs.Set(OutputSet.Plain, 2, new CostModel(1, 0.13, 0));
        time.Advance(TimeSpan.FromMilliseconds(20));
        Assert.Equal(1, Threads(20));
        Assert.Equal(2, Threads(20)); // at once after the other: the threads are awake
        time.Advance(TimeSpan.FromMilliseconds(20));
        Assert.Equal(2, Threads(400));

        int Threads(int length)
        {
            Enqueue(scheduler, executor, [length], new RequestContext());
            var batch = scheduler.Take()!;
            scheduler.Ended(batch);
            return batch.Threads;
        }
    }

    [Fact]
    public void Several_threads_are_opened_when_they_are_first_wanted_and_only_where_they_help()
    {
        var (scheduler, executor) = Make(2, 2, 1024);
        var graph = (FakeGraph)executor.Graph;
        executor.Costs.Set(OutputSet.Plain, 1, new CostModel(0.1, 0.001, 0)); // a tiny model
        Run([20]);
        Assert.Equal(0, graph.Openings);
        executor.Costs.Set(OutputSet.Plain, 1, new CostModel(1, 0.25, 0));
        Assert.Equal(1, Run([400])); // opened meanwhile
        Assert.Equal(1, graph.Openings);
        Assert.Equal(2, Run([400]));

        int Run(int[] lengths)
        {
            Enqueue(scheduler, executor, lengths, new RequestContext());
            var batch = scheduler.Take()!;
            scheduler.Ended(batch);
            return batch.Threads;
        }
    }

    [Fact]
    public void What_waits_is_shared_out_so_that_no_worker_stays_idle()
    {
        var (scheduler, executor) = Make(2, 1, 1024);
        executor.Costs.Set(OutputSet.Plain, 1, new CostModel(2, 0.25, 0));
        Enqueue(scheduler, executor, Enumerable.Repeat(20, 7), new RequestContext());
        Assert.Equal([4, 3], new[] { scheduler.Take()!.Items.Count, scheduler.Take()!.Items.Count }.OrderDescending());
    }

    [Fact]
    public void Clients_that_were_answered_together_are_waited_for_a_moment_and_no_longer()
    {
        var options = new QueueOptions();
        var scheduler = new Scheduler(1, options, new BatchPlanner(options, 1024, 1), time, TimeSpan.FromMilliseconds(2));
        var executor = new GraphExecutor("m", new FakeGraph(), new Admission(options, "m", time), scheduler);
        Enqueue(scheduler, executor, [8, 8, 8], new RequestContext());
        scheduler.Ended(scheduler.Take()!);

        Enqueue(scheduler, executor, [8], new RequestContext());
        Assert.Null(scheduler.Take()); // two more may be on their way
        Assert.True(scheduler.Wait(Timeout.Infinite)); // it does not wait without end for them
        Enqueue(scheduler, executor, [8, 8], new RequestContext());
        var together = scheduler.Take()!;
        Assert.Equal(3, together.Items.Count);
        scheduler.Ended(together);

        Enqueue(scheduler, executor, [8], new RequestContext());
        Assert.Null(scheduler.Take());
        time.Advance(TimeSpan.FromMilliseconds(5));
        Assert.True(scheduler.Wait(Timeout.Infinite)); // the moment is over, long ago even: it is looked at again at once
        Assert.Single(scheduler.Take()!.Items);
    }

    [Fact]
    public async Task Attention_is_opened_off_the_workers_and_never_shares_a_batch_with_others()
    {
        var graph = new FakeGraph { Held = true };
        await using var device = new Device(graph);
        var first = device.Run(3);
        await graph.StartedAsync();
        var (plain, attention, other) = (device.Run(5), device.Run(5, output: "a"), device.Run(5));
        Assert.Equal(1, graph.Openings); // while the only worker was busy
        graph.Release(3);
        await Task.WhenAll(first, plain, attention, other);
        Assert.Equal([["y"], ["y"], ["a"]], graph.Batches.Select(b => b.Outputs).OrderBy(o => o[0] == "a"));
        Assert.Contains(graph.Batches, b => b.Lengths.Length == 2);
    }

    [Fact]
    public async Task A_variant_that_cannot_be_opened_is_tried_once_and_told_each_time()
    {
        var graph = new FakeGraph { OnOpen = (_, _) => throw new ModelLoadException("The runtime does not do it.") };
        await using var device = new Device(graph);
        for (var i = 0; i < 5; i++)
        {
            var e = await Assert.ThrowsAsync<InferenceException>(() => device.Run(5, output: "a"));
            Assert.Equal((ErrorCode.Unprocessable, "The runtime does not do it."), (e.Code, e.Message));
        }

        Assert.Equal(1, graph.Openings);
        Assert.Equal((0, 0L), (device.Executor.Admission.Sequences, device.Executor.Admission.Tokens));
        Assert.Equal(5, (await device.Run(5)).Length);
    }

    [Fact]
    public async Task A_batch_is_bounded_by_its_bytes_and_a_sequence_by_its_own()
    {
        // Attention: rows x length x length; two rows of 100 fit the batch, one of 200 fits a sequence alone.
        var options = new QueueOptions { MaxBatchOutputBytes = 1 << 16, MaxSequenceOutputBytes = 1 << 16 };
        var graph = new FakeGraph { Held = true, Bytes = (set, rows, length) => set == OutputSet.Attention ? (long)rows * length * length * 3 : rows * length };
        await using var device = new Device(graph, options);
        var first = device.Run(3);
        await graph.StartedAsync();
        Task[] runs = [.. Enumerable.Range(0, 4).Select(_ => device.Run(100, output: "a"))];
        var refused = await Assert.ThrowsAsync<InferenceException>(() => device.Run(200, output: "a"));
        Assert.Equal((ErrorCode.TooLarge, nameof(QueueOptions.MaxSequenceOutputBytes)), (refused.Code, refused.Limit));
        graph.Release(10);
        await Task.WhenAll([first, .. runs]);
        Assert.Equal([1, 2, 2], graph.Batches.Select(b => b.Lengths.Length));
    }

    private (Scheduler Scheduler, GraphExecutor Executor) Make(int workers, int threads, int tokens)
    {
        var options = new QueueOptions();
        var scheduler = new Scheduler(workers, options, new BatchPlanner(options, tokens, threads), time);
        return (scheduler, new GraphExecutor("m", new FakeGraph(), new Admission(options, "m", time), scheduler));
    }

    private WorkItem[] Enqueue(Scheduler scheduler, GraphExecutor executor, IEnumerable<int> lengths, RequestContext context)
    {
        var inputs = lengths.Select(length => Device.Input(length)).ToArray();
        executor.Admission.Admit(context, inputs.Length, inputs.Sum(i => (long)i.Length));
        var group = new WorkGroup<int>(inputs.Length, (_, row) => row.Length, context, ["y"], OutputSet.Plain, time.GetTimestamp());
        WorkItem[] items = [.. inputs.Select((input, i) => new WorkItem(group, i, input, input.Length))];
        scheduler.Enqueue(executor, items);
        return items;
    }

    private static void Run(Scheduler scheduler, int batches)
    {
        for (var i = 0; i < batches && scheduler.Take() is { } batch; i++)
        {
            scheduler.Ended(batch);
        }
    }
}
