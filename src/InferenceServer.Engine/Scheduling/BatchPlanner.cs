using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>A batch to be: rows <c>[From, To)</c> of those that were looked at, its threads, and the milliseconds it is predicted to take.</summary>
internal readonly record struct BatchPlan(int From, int To, int Threads, double Cost);

/// <summary>Chooses rows and threads of a batch by what runs cost.</summary>
/// <param name="options">Bounds of a batch.</param>
/// <param name="maxBatchTokens">Most padded tokens of a batch.</param>
/// <param name="maxThreads">Most threads of a batch.</param>
internal sealed class BatchPlanner(QueueOptions options, int maxBatchTokens, int maxThreads)
{
    private const double WakeMilliseconds = 5; // what several threads lose when they have to be woken
    private const double LeastGain = 0.5; // milliseconds; for less no threads are woken
    private const double LeastGainToOpen = 2; // milliseconds of a short text; for less a model keeps no threads of its own
    private const double ShortBatch = 10; // times the fixed cost of a run: a tenth of the time is lost to it
    private static readonly TimeSpan AwakeTime = TimeSpan.FromMilliseconds(5); // since the last run

    /// <summary>Plans the batch around a row.</summary>
    /// <param name="executor">The graph.</param>
    /// <param name="set">The outputs.</param>
    /// <param name="lengths">Padded lengths of what waits, ascending.</param>
    /// <param name="index">The row whose turn it is.</param>
    /// <param name="free">Workers that could run it and what else waits here, now.</param>
    /// <param name="idle">How long nothing has run.</param>
    /// <param name="shortBatches">True when a long batch would hold up others, see <see cref="PendingQueue.IsMixed"/>.</param>
    public BatchPlan Plan(GraphExecutor executor, OutputSet set, ReadOnlySpan<int> lengths, int index, int free, TimeSpan idle, bool shortBatches = false)
    {
        var graph = executor.Graph;
        var constraints = graph.Constraints;
        var limits = new BatchLimits(Math.Min(constraints.MaxSequences, options.MaxBatchSequences), maxBatchTokens, options.MaxBatchOutputBytes, constraints.EqualLengthsOnly);
        Func<int, int, long> bytes = (rows, length) => graph.RunBytes(set, rows, length);
        var single = executor.Costs.Of(set, 1);
        var most = shortBatches ? ShortBatch * single.A : double.PositiveInfinity;
        var partition = Packing.Cut(lengths, single, limits, bytes, most);
        if (free <= 1)
        {
            return At(partition, single, 1, lengths, index);
        }

        // One thread a batch: what waits is shared out among the free workers. They end when the largest share does.
        var longest = lengths[^1];
        partition = Packing.Cut(lengths, single, limits, bytes, Math.Min(most, (partition.Cost / free) + single.Of(1, longest) - single.A));
        var end = Math.Max(partition.Cost / free, LargestOf(partition, single, lengths));

        // All threads on one batch after another.
        var threads = free >= maxThreads ? maxThreads : 1 << int.Log2(free);
        var several = executor.Costs.Of(set, threads);
        if (threads > 1 && end - several.Of(1, lengths[0]) > LeastGain)
        {
            var wide = Packing.Cut(lengths, several, limits, bytes, most);
            if (end - wide.Cost > (idle > AwakeTime ? WakeMilliseconds : LeastGain) && IsOpen(graph, set, threads, end - wide.Cost > LeastGainToOpen))
            {
                return At(wide, several, threads, lengths, index);
            }
        }

        return At(partition, single, 1, lengths, index);
    }

    /// <summary>Plans a step, which runs alone: on one thread or on all that are free, as its like have turned out.</summary>
    /// <param name="executor">The graph.</param>
    /// <param name="tokens">New tokens of all rows.</param>
    /// <param name="free">Workers that could run it and what else waits here, now.</param>
    public BatchPlan PlanStep(GraphExecutor executor, int tokens, int free)
    {
        var most = free >= maxThreads ? maxThreads : 1 << int.Log2(free);
        var one = executor.Steps.Milliseconds(tokens, 1);
        if (most > 1 && !IsOpen(executor.Graph, OutputSet.Plain, most, one is null or > LeastGain))
        {
            most = 1;
        }

        var threads = executor.Steps.Threads(tokens, most);
        return new BatchPlan(0, 1, threads, executor.Steps.Milliseconds(tokens, threads) ?? executor.Costs.Of(OutputSet.Plain, threads).Of(1, tokens));
    }

    /// <summary>Whether a graph is large enough for several threads to be of use: they answer a lone short text sooner.</summary>
    public static bool IsWorthThreads(CostModel single, CostModel several) => single.Of(1, 32) - several.Of(1, 32) > LeastGainToOpen;

    private static BatchPlan At(Partition partition, CostModel cost, int threads, ReadOnlySpan<int> lengths, int index)
    {
        var (from, to) = partition.Around(index, lengths.Length);
        return new BatchPlan(from, to, threads, cost.Of(to - from, lengths[to - 1]));
    }

    private static double LargestOf(Partition partition, CostModel cost, ReadOnlySpan<int> lengths)
    {
        var largest = 0.0;
        for (var k = 0; k < partition.Starts.Count; k++)
        {
            var to = k + 1 < partition.Starts.Count ? partition.Starts[k + 1] : lengths.Length;
            largest = Math.Max(largest, cost.Of(to - partition.Starts[k], lengths[to - 1]));
        }

        return largest;
    }

    // A variant is opened when it is first wanted: for the next time.
    private static bool IsOpen(IGraph graph, OutputSet set, int threads, bool isWorthIt)
    {
        if (graph.Opened(set, threads) is not null)
        {
            return true;
        }

        if (isWorthIt)
        {
            _ = graph.OpenAsync(set, threads);
        }

        return false;
    }
}
