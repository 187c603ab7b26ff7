using CsCheck;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>Large runs share one budget of memory and go one after the other where it is too small; what they leave behind is given back when nothing runs.</summary>
public sealed class RunMemoryTests
{
    private const long Budget = 1000;
    private readonly FakeTimeProvider time = new();

    [Fact]
    public void Large_runs_never_exceed_the_budget_but_for_one_alone_and_everything_is_served() =>
        Gen.Select(Gen.Int[1, 1500].Array[1, 30], Gen.Int[1, 4], Gen.Int[0, 1 << 20]).Sample((lengths, workers, seed) =>
        {
            var random = new Random(seed);
            var (scheduler, executor, other) = Make(workers);
            var items = lengths.Select((length, i) => Enqueue(scheduler, i % 3 == 0 ? other : executor, length, i % 4)).ToList();
            var running = new List<Batch>();
            while (running.Count > 0 || items.Exists(item => !item.Taken))
            {
                while (scheduler.Take() is { } batch)
                {
                    running.Add(batch);
                }

                Assert.NotEmpty(running); // else it would wait for ever
                var large = running.Where(batch => batch.Bytes > Budget / 8).ToList();
                Assert.True(large.Count <= 1 || large.Sum(batch => batch.Bytes) <= Budget);
                var ended = running[random.Next(running.Count)];
                running.Remove(ended);
                scheduler.Ended(ended);
            }
        });

    [Fact]
    public void Small_ones_pass_a_large_one_that_waits_and_other_large_ones_do_not()
    {
        var (scheduler, executor, _) = Make(workers: 4);
        Enqueue(scheduler, executor, 600, client: 0);
        var running = scheduler.Take()!;
        var waits = Enqueue(scheduler, executor, 500, client: 1);
        var next = Enqueue(scheduler, executor, 300, client: 2, Priority.Bulk);
        var small = Enqueue(scheduler, executor, 100, client: 3, Priority.Bulk);
        Assert.Equal(small, Assert.Single(scheduler.Take()!.Items));
        Assert.Null(scheduler.Take()); // not the 300 either, though they would fit: the turn of the 500 is first
        scheduler.Ended(running);
        WorkItem[] taken = [scheduler.Take()!.Items[0], scheduler.Take()!.Items[0]];
        Assert.Equal([next, waits], taken.OrderBy(item => item.PaddedLength));
        Assert.Null(scheduler.Take());
    }

    [Fact]
    public async Task A_worker_that_waited_for_memory_is_woken_when_there_is_some()
    {
        var graph = new FakeGraph { Held = true, Peak = (_, rows, length) => rows * length };
        await using var device = new Device(graph, workers: 2, maxRunBytes: Budget);
        var first = device.Run(900);
        await graph.StartedAsync();
        var second = device.Run(901);
        var small = device.Run(10);
        await graph.StartedAsync(); // the small one
        Assert.Equal([900, 10], graph.Batches.Select(batch => batch.Lengths[0]));
        graph.Release(3);
        await Task.WhenAll(first, second, small);
        Assert.Equal([900, 10, 901], graph.Batches.Select(batch => batch.Lengths[0]));
    }

    [Fact]
    public void Memory_is_given_back_when_nothing_has_run_for_a_moment()
    {
        var graph = new FakeGraph { Peak = (_, _, length) => length > 100 ? IdleMemory.Large : 0 };
        var scheduler = new Scheduler(1, new QueueOptions(), new BatchPlanner(new QueueOptions(), 4096, 1), time);
        var executor = new GraphExecutor("m", graph, new Admission(new QueueOptions(), "m", time), scheduler);
        var memory = new IdleMemory(scheduler);
        Run(10);
        Assert.Equal(Timeout.Infinite, memory.MillisecondsToNext());
        Run(200);
        Run(200);
        Assert.InRange(memory.MillisecondsToNext(), 1, 1000);
        Assert.False(memory.Step()); // something may come
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(memory.Step());
        Assert.False(memory.Step());
        Assert.Equal((1, Timeout.Infinite), (graph.GivenBack, memory.MillisecondsToNext()));

        void Run(int length)
        {
            Enqueue(scheduler, executor, length, client: 0);
            var batch = scheduler.Take()!;
            scheduler.Ended(batch);
            memory.Ran(batch);
        }
    }

    private (Scheduler Scheduler, GraphExecutor One, GraphExecutor Other) Make(int workers)
    {
        var options = new QueueOptions();
        var scheduler = new Scheduler(workers, options, new BatchPlanner(options, 4096, 1), time, maxRunBytes: Budget);
        return (scheduler, Executor("one"), Executor("other"));

        GraphExecutor Executor(string model) => new(model, new FakeGraph { Peak = (_, rows, length) => (long)rows * length }, new Admission(options, model, time), scheduler);
    }

    private WorkItem Enqueue(Scheduler scheduler, GraphExecutor executor, int length, int client, Priority priority = Priority.Interactive)
    {
        var input = Device.Input(length);
        var context = new RequestContext { Client = client, Priority = priority };
        executor.Admission.Admit(context, 1, length);
        var item = new WorkItem(new WorkGroup<int>(1, (_, row) => row.Length, context, ["y"], OutputSet.Plain, time.GetTimestamp()), 0, input, length);
        scheduler.Enqueue(executor, [item]);
        return item;
    }
}
