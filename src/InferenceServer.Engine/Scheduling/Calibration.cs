using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>What was measured of a variant.</summary>
internal sealed record MeasuredCost(string Model, int Threads, CostModel Cost);

/// <summary>
/// Measures what runs of each graph cost, while nothing else runs: one short run at a time, so that a request that comes waits for one at most. Thread-safe; one worker
/// measures at a time.
/// </summary>
/// <param name="scheduler">The device's scheduler.</param>
/// <param name="maxThreads">Most threads of a batch.</param>
/// <param name="maxBatchTokens">Most padded tokens of a batch: larger ones are not made, and not measured.</param>
/// <param name="store">Where costs are kept between starts.</param>
/// <param name="runTimeout">How long the runs of one shape may take.</param>
internal sealed class Calibration(Scheduler scheduler, int maxThreads, int maxBatchTokens, CostStore store, TimeSpan? runTimeout = null)
{
    private const int Repetitions = 5; // the least of them counts
    private const int MostTries = 4; // to measure several threads: other programs on the same cores slow them out of proportion
    private const double LongestMilliseconds = 200; // of a run
    private const int MillisecondsToOpen = 2; // between looks whether a variant is open

    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(400);
    private static readonly (int Rows, int Length)[] Shapes = [(1, 16), (1, 32), (4, 16), (1, 96), (4, 32), (8, 24), (1, 192), (2, 96), (1, 320)];

    private readonly Lock gate = new();
    private readonly Queue<Measurement> outstanding = [];

    /// <summary>Measures a graph when there is time; costs that were kept are used at once.</summary>
    /// <param name="executor">The graph.</param>
    /// <param name="key">What its costs are kept by, or null.</param>
    /// <param name="longest">Most tokens of a row.</param>
    public void Add(GraphExecutor executor, string? key, int longest) => Add(new Measurement(executor, key, 1, longest));

    /// <summary>Measures a graph no more.</summary>
    public void Remove(GraphExecutor executor)
    {
        lock (gate)
        {
            var others = outstanding.Where(m => m.Executor != executor).ToList();
            outstanding.Clear();
            others.ForEach(outstanding.Enqueue);
        }
    }

    /// <summary>How long a worker without work should wait before it measures; infinite when there is nothing to measure.</summary>
    public int MillisecondsToNext()
    {
        lock (gate)
        {
            return outstanding.Count == 0 ? Timeout.Infinite : Math.Max(MillisecondsToOpen, (int)(Quiet - scheduler.Idle).TotalMilliseconds);
        }
    }

    /// <summary>Makes the runs of one shape, when nothing else has run for a while; gives the costs of the variant when they were its last.</summary>
    public MeasuredCost? Step()
    {
        Measurement? next;
        lock (gate)
        {
            if (!outstanding.TryPeek(out next))
            {
                return null;
            }
        }

        var opening = next.Executor.Graph.OpenAsync(OutputSet.Plain, next.Threads);
        if (!opening.IsCompleted || scheduler.TakeIdle(next.Executor, OutputSet.Plain, next.Threads, Quiet) is not { } batch)
        {
            return opening.IsFaulted ? Finish(next) : null;
        }

        try
        {
            return Measure(next, batch) ? Finish(next) : null;
        }
        finally
        {
            scheduler.Ended(batch);
        }
    }

    private void Add(Measurement measurement)
    {
        if (measurement.Key is not null && store.Find(measurement.Key, measurement.Threads) is { } kept)
        {
            Use(measurement, kept);
            return;
        }

        lock (gate)
        {
            outstanding.Enqueue(measurement);
        }
    }

    // The runs of one shape; true when it was the last.
    private bool Measure(Measurement m, Batch batch)
    {
        var constraints = m.Executor.Graph.Constraints;
        var shapes = Shapes.Where(s => s.Length <= m.Longest && s.Rows <= constraints.MaxSequences && s.Rows * s.Length <= maxBatchTokens && constraints.FixedLength is null).ToArray();
        if (m.Runs.Count >= shapes.Length)
        {
            return true;
        }

        var (rows, length) = shapes[m.Runs.Count];
        GraphInput[] inputs = [.. Enumerable.Range(0, rows).Select(_ => new GraphInput([.. Enumerable.Range(0, length).Select(i => i % 2)]))];
        string[] outputs = [m.Executor.Graph.Outputs[0]];
        var least = double.PositiveInfinity;
        using var overdue = batch.StopAfter(runTimeout, scheduler.Time);
        try
        {
            // The first run only makes room for the others.
            for (var i = 0; i <= Repetitions; i++)
            {
                var started = scheduler.Time.GetTimestamp();
                batch.Variant.Run(inputs, outputs, batch.Terminated).Dispose();
                least = i == 0 ? least : Math.Min(least, scheduler.Time.GetElapsedTime(started).TotalMilliseconds);
            }
        }
        catch (Exception e) when (e is InferenceException or OperationCanceledException)
        {
            return true; // what was measured before will do
        }

        m.Runs.Add((rows, length, Math.Max(1e-3, least)));
        return least > LongestMilliseconds || m.Runs.Count == shapes.Length;
    }

    private MeasuredCost? Finish(Measurement m)
    {
        lock (gate)
        {
            if (!outstanding.TryPeek(out var first) || first != m)
            {
                return null; // another worker was quicker, or the graph has gone
            }

            outstanding.Dequeue();
        }

        if (m.Runs.Count < 3)
        {
            return null;
        }

        var cost = CostModel.Fit(m.Runs);
        if (m.Threads > 1 && !BatchPlanner.IsWorthThreads(m.Executor.Costs.Of(OutputSet.Plain, 1), cost))
        {
            // Several threads that are slower than one tell of a busy machine: they are measured again, later than all others.
            if (m.Try < MostTries)
            {
                Add(m with { Try = m.Try + 1, Runs = [] });
            }

            return null;
        }

        if (m.Key is not null)
        {
            store.Keep(m.Key, m.Threads, cost);
        }

        Use(m, cost);
        return new MeasuredCost(m.Executor.Model, m.Threads, cost);
    }

    // Several threads are measured where they would be used.
    private void Use(Measurement m, CostModel cost)
    {
        m.Executor.Costs.Set(OutputSet.Plain, m.Threads, cost);
        if (m.Threads == 1 && maxThreads > 1 && BatchPlanner.IsWorthThreads(cost, cost.OnThreads(maxThreads)))
        {
            Add(m with { Threads = maxThreads, Runs = [] });
        }
    }

    private sealed record Measurement(GraphExecutor Executor, string? Key, int Threads, int Longest)
    {
        public int Try { get; init; } = 1;

        public List<(int Rows, int Length, double Milliseconds)> Runs { get; init; } = [];
    }
}
