using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Execution;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>Packing: by length, within the budgets, fair once something is old.</summary>
public sealed class WaitingRidersTests
{
    private readonly FakeTimeProvider time = new();
    private readonly RequestContext anyone = new();

    [Fact]
    public void Neighbours_in_length_ride_together_the_longest_first()
    {
        var waiting = Waiting(new QueueOptions { MaxBatchTokens = 300 });
        Add(waiting, anyone, 10, 100, 12, 98, 11, 99);
        Assert.Equal([98, 99, 100], Pack(waiting));
        Assert.Equal([10, 11, 12], Pack(waiting));
        Assert.Null(waiting.Pack(1));
        Assert.Equal(0, waiting.Tokens);
    }

    [Fact]
    public void The_budget_counts_padding()
    {
        var waiting = Waiting(new QueueOptions { MaxBatchTokens = 100 });
        Add(waiting, anyone, 20, 20, 20, 20, 30);
        Assert.Equal([20, 20, 30], Pack(waiting)); // 3 x 30; a fourth row would make 120
        Assert.Equal([20, 20], Pack(waiting));
    }

    [Fact]
    public void A_sequence_above_the_budget_runs_alone()
    {
        var waiting = Waiting(new QueueOptions { MaxBatchTokens = 100 });
        Add(waiting, anyone, 500, 90);
        Assert.Equal([500], Pack(waiting));
        Assert.Equal([90], Pack(waiting));
    }

    [Fact]
    public void Much_padding_is_worse_than_a_batch_of_its_own()
    {
        var waiting = Waiting(new QueueOptions());
        Add(waiting, anyone, 5, 500);
        Assert.Equal([500], Pack(waiting));
        Assert.Equal([5], Pack(waiting));
    }

    [Fact]
    public void Idle_lanes_share_what_waits()
    {
        var waiting = Waiting(new QueueOptions());
        Add(waiting, anyone, 10, 10, 10, 10);
        Assert.Equal([10, 10], Pack(waiting, idleLanes: 2));
        Assert.Equal([10, 10], Pack(waiting, idleLanes: 1));
    }

    [Fact]
    public void What_is_old_goes_first()
    {
        var waiting = Waiting(new QueueOptions { AgeLimit = TimeSpan.FromMilliseconds(100), MaxBatchTokens = 100 });
        Add(waiting, new RequestContext(), 10);
        time.Advance(TimeSpan.FromMilliseconds(60));
        Add(waiting, new RequestContext(), 100, 100, 100);
        Assert.Equal([100], Pack(waiting));
        time.Advance(TimeSpan.FromMilliseconds(60));
        Assert.Equal([10], Pack(waiting));
        Assert.Equal([100], Pack(waiting));
    }

    [Fact]
    public void A_request_of_many_does_not_starve_one_that_came_later()
    {
        var (bulk, single) = (new RequestContext(), new RequestContext());
        var waiting = Waiting(new QueueOptions { AgeLimit = TimeSpan.FromMilliseconds(100), MaxBatchTokens = 100 });
        Add(waiting, bulk, 100, 100, 100, 100, 100);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([100], Pack(waiting));
        Assert.Equal([100], Pack(waiting));
        Add(waiting, single, 10);
        time.Advance(TimeSpan.FromSeconds(1));
        var next = new[] { Pack(waiting)[0], Pack(waiting)[0] };
        Assert.Contains(10, next);
    }

    [Fact]
    public void Only_equal_lengths_where_the_graph_knows_no_padding()
    {
        var waiting = Waiting(new QueueOptions(), new BatchRules(EqualLengthsOnly: true));
        Add(waiting, anyone, 10, 11, 10, 11, 11);
        Assert.Equal([11, 11, 11], Pack(waiting));
        Assert.Equal([10, 10], Pack(waiting));
    }

    [Fact]
    public void One_at_a_time_where_the_graph_asks_for_it()
    {
        var waiting = Waiting(new QueueOptions(), new BatchRules(1));
        Add(waiting, anyone, 10, 10);
        Assert.Equal([10], Pack(waiting));
        Assert.Equal([10], Pack(waiting));
    }

    [Fact]
    public void A_fixed_length_counts_in_full()
    {
        var waiting = Waiting(new QueueOptions { MaxBatchTokens = 256 }, new BatchRules(FixedLength: 128));
        Add(waiting, anyone, 3, 100, 50);
        Assert.Equal([50, 100], Pack(waiting));
        Assert.Equal([3], Pack(waiting));
    }

    [Fact]
    public void Outputs_are_bounded_in_bytes()
    {
        var runner = new FakeRunner { Bytes = (rows, length) => (long)rows * length * length };
        var waiting = new WaitingRiders(runner, new QueueOptions { MaxBatchOutputBytes = 250 }, time);
        Add(waiting, anyone, 10, 10, 10);
        Assert.Equal([10, 10], Pack(waiting));
        Assert.Equal([10], Pack(waiting));
    }

    [Fact]
    public void Who_has_gone_costs_nothing()
    {
        using var gone = new CancellationTokenSource();
        var waiting = Waiting(new QueueOptions());
        var door = new Door(new QueueOptions());
        var rider = new Rider<int>(new GraphInput(new int[10]), ["y"], _ => 0, new RequestContext(gone.Token), time.GetTimestamp());
        Assert.True(door.TryEnter(rider, out _));
        rider.WatchCancellation(door);
        waiting.Add(rider);
        gone.Cancel();
        Assert.Null(waiting.Pack(1));
    }

    private static int[] Pack(WaitingRiders waiting, int idleLanes = 1) => waiting.Pack(idleLanes)!.Riders.Select(r => r.Length).ToArray();

    private WaitingRiders Waiting(QueueOptions options, BatchRules? rules = null) => new(new FakeRunner(rules), options, time);

    private void Add(WaitingRiders waiting, RequestContext context, params int[] lengths)
    {
        foreach (var length in lengths)
        {
            waiting.Add(new Rider<int>(new GraphInput(new int[length]), ["y"], _ => 0, context, time.GetTimestamp()));
        }
    }
}
