using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// What waits, sorted by length, and the packing of batches. Owned by the queue's loop: not thread-safe.
/// </summary>
/// <remarks>
/// A batch grows from a seed: the longest that waits, or, once something has waited longer than the age limit, the longest
/// of the request among the aged ones that has been served least (so neither a long text nor a request of many texts
/// starves others). It takes neighbours in length as long as little is padded and the budgets of tokens and bytes hold.
/// </remarks>
internal sealed class WaitingRiders(IGraphRunner runner, QueueOptions options, TimeProvider time)
{
    private const int FreePadding = 16; // tokens a row; less than what a batch of its own would cost

    private readonly List<Rider> riders = []; // by length
    private readonly Dictionary<RequestContext, Share> shares = [];
    private readonly BatchRules rules = runner.Rules;
    private long served; // what the request that was served last has got: where a new request starts

    /// <summary>Number of riders.</summary>
    public int Count => riders.Count;

    /// <summary>Padded tokens of all, each alone.</summary>
    public long Tokens { get; private set; }

    /// <summary>True when what waits is enough for a whole batch, so that nothing is gained by waiting for more.</summary>
    public bool FillsBatch => Tokens >= options.MaxBatchTokens || Count >= Math.Min(rules.MaxSequences, options.MaxBatchSequences);

    /// <summary>Takes in a rider.</summary>
    public void Add(Rider rider)
    {
        riders.Insert(UpperBound(rider.Length), rider);
        Tokens += rules.Padded(rider.Length);
        if (!shares.TryGetValue(rider.Context, out var share))
        {
            shares[rider.Context] = share = new Share { Served = served };
        }

        share.Waiting++;
    }

    /// <summary>Takes out all that belong to a request.</summary>
    public IReadOnlyList<Rider> Remove(RequestContext context) => Extract(r => r.Context == context);

    /// <summary>Takes out all.</summary>
    public IReadOnlyList<Rider> RemoveAll() => Extract(static _ => true);

    /// <summary>Drops who has gone.</summary>
    public void DropDone() => Extract(static r => r.IsDone);

    /// <summary>Packs the next batch for one of <paramref name="idleLanes"/> lanes that could run now; null when nothing waits.</summary>
    public Batch? Pack(int idleLanes)
    {
        DropDone();
        if (riders.Count == 0)
        {
            return null;
        }

        var seed = Seed();
        var (low, high) = Grow(seed, Budget(idleLanes));
        var taken = riders.GetRange(low, high - low + 1);
        served = shares[riders[seed].Context].Served;
        var longest = rules.Padded(taken[^1].Length);
        riders.RemoveRange(low, taken.Count);
        foreach (var rider in taken)
        {
            Forget(rider, longest);
        }

        return new Batch(taken);
    }

    // With several idle lanes what waits is shared out, so that none stays idle.
    private long Budget(int idleLanes) =>
        idleLanes <= 1 ? options.MaxBatchTokens : Math.Min(options.MaxBatchTokens, (Tokens + idleLanes - 1) / idleLanes);

    private int Seed()
    {
        var oldest = long.MaxValue;
        foreach (var rider in riders)
        {
            oldest = Math.Min(oldest, rider.Enqueued);
        }

        if (time.GetElapsedTime(oldest) < options.AgeLimit)
        {
            return riders.Count - 1;
        }

        var seed = -1;
        Share? best = null;
        var bestEnqueued = long.MaxValue;
        for (var i = riders.Count - 1; i >= 0; i--)
        {
            var rider = riders[i];
            var share = shares[rider.Context];
            if (share == best || time.GetElapsedTime(rider.Enqueued) < options.AgeLimit)
            {
                continue; // the first seen of a request is its longest
            }

            if (best is null || share.Served < best.Served || (share.Served == best.Served && rider.Enqueued < bestEnqueued))
            {
                (seed, best, bestEnqueued) = (i, share, rider.Enqueued);
            }
        }

        return seed;
    }

    private (int Low, int High) Grow(int seed, long budget)
    {
        var (low, high) = (seed, seed);
        var outputs = new HashSet<string>(riders[seed].Outputs);
        while (high - low + 1 < Math.Min(rules.MaxSequences, options.MaxBatchSequences))
        {
            var longest = rules.Padded(riders[high].Length);
            var below = low > 0 ? longest - rules.Padded(riders[low - 1].Length) : int.MaxValue;
            var above = high + 1 < riders.Count ? rules.Padded(riders[high + 1].Length) - longest : int.MaxValue;

            // A longer row pads all that are in; a shorter one only itself. The cheaper side first.
            var (canBelow, canAbove) = (Fits(low - 1, high, below), Fits(low, high + 1, above));
            if (canBelow && (!canAbove || below <= (long)above * (high - low + 1)))
            {
                outputs.UnionWith(riders[--low].Outputs);
            }
            else if (canAbove)
            {
                outputs.UnionWith(riders[++high].Outputs);
            }
            else
            {
                break;
            }
        }

        return (low, high);

        bool Fits(int from, int to, int difference)
        {
            if (difference == int.MaxValue)
            {
                return false;
            }

            var longest = rules.Padded(riders[to].Length);
            var count = to - from + 1;
            if (rules.EqualLengthsOnly ? riders[from].Length != riders[to].Length : longest - rules.Padded(riders[from].Length) > FreePadding + (longest / 4))
            {
                return false;
            }

            var added = riders[from == low ? to : from];
            return (long)count * longest <= budget
                && OutputBytes(outputs, count, longest) + OutputBytes(added.Outputs.Where(o => !outputs.Contains(o)), count, longest) <= options.MaxBatchOutputBytes;
        }
    }

    private long OutputBytes(IEnumerable<string> outputs, int rows, int length) => outputs.Sum(o => runner.OutputBytes(o, rows, length));

    private int UpperBound(int length)
    {
        var (low, high) = (0, riders.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = riders[middle].Length <= length ? (middle + 1, high) : (low, middle);
        }

        return low;
    }

    private List<Rider> Extract(Predicate<Rider> which)
    {
        var taken = riders.FindAll(which);
        if (taken.Count > 0)
        {
            riders.RemoveAll(which);
            taken.ForEach(r => Forget(r, 0));
        }

        return taken;
    }

    private void Forget(Rider rider, int cost)
    {
        Tokens -= rules.Padded(rider.Length);
        var share = shares[rider.Context];
        share.Served += cost;
        if (--share.Waiting == 0)
        {
            shares.Remove(rider.Context);
        }
    }

    private sealed class Share
    {
        public long Served { get; set; }

        public int Waiting { get; set; }
    }
}
