using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>What waits at one graph: by client, for whose turn it is, and by length within each set of outputs, for packing. Not thread-safe.</summary>
internal sealed class PendingQueue
{
    private const int Window = 512; // rows that a cut looks at: more would not make a better batch around the one whose turn it is

    private const int Many = 16;
    private const int Few = 8;
    private const double BulkWeight = 8; // what bulk work costs its share: an eighth of the turns

    private static readonly TimeSpan SmallMoment = TimeSpan.FromSeconds(1);

    private readonly Dictionary<OutputSet, List<WorkItem>> byLength = [];
    private readonly Dictionary<object, PriorityQueue<WorkItem, (long Deadline, long Number)>> byClient = [];
    private readonly FairShare<object> clients = new();
    private long number;
    private long lastSmall = long.MinValue; // when a request of few sequences came

    /// <summary>Number of sequences.</summary>
    public int Count { get; private set; }

    /// <summary>When the one came that is next.</summary>
    public long NextEnqueued => Next() is { } item ? item.Group.Enqueued : long.MaxValue;

    /// <summary>
    /// True when a client has brought many sequences and somebody else few, now or a moment ago: then a batch should be short, so that who comes next does not wait for a
    /// long one.
    /// </summary>
    public bool IsMixed(TimeProvider time) =>
        lastSmall != long.MinValue && time.GetElapsedTime(lastSmall) < SmallMoment && byClient.Values.Any(own => own.Count >= Many);

    /// <summary>Takes in the sequences of a group.</summary>
    public void Add(IReadOnlyList<WorkItem> items)
    {
        var group = items[0].Group;
        if (!byClient.TryGetValue(group.Client, out var own))
        {
            byClient[group.Client] = own = new();
        }

        clients.Enter(group.Client);
        lastSmall = items.Count < Few ? group.Enqueued : lastSmall;
        foreach (var item in items)
        {
            own.Enqueue(item, (group.Context.Deadline.UtcTicks, number++));
        }

        var sorted = Sorted(group.Set);
        if (items.Count == 1)
        {
            sorted.Insert(UpperBound(sorted, items[0].PaddedLength), items[0]);
        }
        else
        {
            sorted.AddRange(items);
            sorted.Sort(static (a, b) => a.PaddedLength.CompareTo(b.PaddedLength));
        }

        Count += items.Count;
    }

    /// <summary>Takes out the sequences of a group; gives how many there were, and their tokens.</summary>
    public (int Count, long Tokens) Remove(WorkGroup group)
    {
        var (removed, tokens) = (0, 0L);
        Sorted(group.Set).RemoveAll(item =>
        {
            if (item.Group != group)
            {
                return false;
            }

            item.Taken = true;
            removed++;
            tokens += item.Input.Length;
            return true;
        });
        Count -= removed;
        Settle(group.Client);
        return (removed, tokens);
    }

    /// <summary>Takes out everything.</summary>
    public IReadOnlyList<WorkItem> RemoveAll()
    {
        List<WorkItem> all = [.. byLength.Values.SelectMany(items => items)];
        all.ForEach(item => item.Taken = true);
        byLength.Clear();
        byClient.Clear();
        clients.Clear();
        Count = 0;
        return all;
    }

    /// <summary>The sequence whose turn it is: of the client with the least share, by deadline, then by age; null when nothing waits.</summary>
    public WorkItem? Next()
    {
        var client = clients.Next(who => byClient[who].TryPeek(out _, out var order) ? order.Number : long.MaxValue);
        return client is null ? null : byClient[client].Peek();
    }

    /// <summary>The rows around a sequence, by length, that a cut looks at, and the sequence's place among them.</summary>
    public (IReadOnlyList<WorkItem> Rows, int Index) Around(WorkItem item)
    {
        var sorted = Sorted(item.Group.Set);
        var at = PlaceOf(sorted, item);
        var from = Math.Max(0, Math.Min(at - (Window / 2), sorted.Count - Window));
        return (sorted.GetRange(from, Math.Min(Window, sorted.Count - from)), at - from);
    }

    /// <summary>Takes a batch out and charges each client its part of the cost.</summary>
    /// <param name="items">Neighbours in length.</param>
    /// <param name="next">The one whose turn it was.</param>
    /// <param name="cost">What the batch costs.</param>
    public void Take(IReadOnlyList<WorkItem> items, WorkItem next, double cost)
    {
        clients.Choose(next.Group.Client);
        var sorted = Sorted(next.Group.Set);
        sorted.RemoveRange(PlaceOf(sorted, items[0]), items.Count);
        Count -= items.Count;
        foreach (var item in items)
        {
            item.Taken = true;
            clients.Charge(item.Group.Client, cost / items.Count * (item.Group.Context.Priority == Priority.Bulk ? BulkWeight : 1));
        }

        foreach (var item in items)
        {
            Settle(item.Group.Client);
        }
    }

    private List<WorkItem> Sorted(OutputSet set) => byLength.TryGetValue(set, out var sorted) ? sorted : byLength[set] = [];

    // What was taken in another one's batch has no turn of its own; a client without any waits no more.
    private void Settle(object client)
    {
        if (!byClient.TryGetValue(client, out var own))
        {
            return;
        }

        while (own.TryPeek(out var item, out _) && item.Taken)
        {
            own.Dequeue();
        }

        if (own.Count == 0)
        {
            byClient.Remove(client);
            clients.Leave(client);
        }
    }

    private static int PlaceOf(List<WorkItem> sorted, WorkItem item)
    {
        var at = UpperBound(sorted, item.PaddedLength - 1);
        while (sorted[at] != item)
        {
            at++;
        }

        return at;
    }

    private static int UpperBound(List<WorkItem> sorted, int length)
    {
        var (low, high) = (0, sorted.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = sorted[middle].PaddedLength <= length ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}
