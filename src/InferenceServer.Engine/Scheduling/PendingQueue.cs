using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// What waits at one graph, in the order in which it would be answered if all clients shared the workers equally: a half-answered request helps nobody, so what would end
/// first is served first, as a whole. Not thread-safe.
/// </summary>
/// <remarks>
/// Friedman, Henderson: Fairness and Efficiency in Web Server Protocols, SIGMETRICS 2003 (the Fair Sojourn Protocol), with the virtual time of weighted fair queueing
/// (Demers, Keshav, Shenker: Analysis and Simulation of a Fair Queueing Algorithm, SIGCOMM 1989). Time is counted in padded tokens: it goes on by what is taken, divided
/// by the clients that wait. A request would end at its client's begin plus its own tokens; a client begins now, or where his last request would have ended if he is
/// ahead of the others by more than <see cref="Whole"/> tokens. Of a request of more than that one sequence after another is looked at, so that it does not hold up the
/// others as a whole.
/// </remarks>
internal sealed class PendingQueue
{
    private const int Window = 128; // rows that a cut looks at: more would not make a better batch, and would let newcomers go before those whose turn is next
    private const long Whole = 1024; // tokens of a request that is served as a whole, and by which a client may be ahead

    private const int Many = 16;
    private const int Few = 8;
    private const double BulkWeight = 8; // what bulk work costs its share: an eighth of the turns

    private static readonly TimeSpan SmallMoment = TimeSpan.FromSeconds(1);

    private readonly Dictionary<object, Client> clients = [];
    private readonly Dictionary<WorkGroup, Request> requests = [];
    private readonly Dictionary<object, double> left = []; // where clients go on that wait no more, but have had more than their share
    private double now; // the virtual time
    private double running; // by which it goes on with the next batch: newcomers begin before what was taken last
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
        lastSmall != long.MinValue && time.GetElapsedTime(lastSmall) < SmallMoment && clients.Values.Any(static client => client.Count >= Many);

    /// <summary>Takes in the sequences of a group.</summary>
    public void Add(IReadOnlyList<WorkItem> items)
    {
        var group = items[0].Group;
        if (!clients.TryGetValue(group.Client, out var client))
        {
            left.Remove(group.Client, out var begin);
            clients[group.Client] = client = new Client { Begin = Math.Max(now, begin), Ahead = Math.Clamp(begin - now, 0, Whole) };
        }

        var request = new Request(group, client, items, number++);
        requests[group] = request;
        client.Add(request);
        lastSmall = items.Count < Few ? group.Enqueued : lastSmall;
        Count += items.Count;
    }

    /// <summary>Takes out the sequences of a group; gives how many there were, and the tokens of all that the group came with, or zeros when none waits.</summary>
    public (int Count, long Tokens) Remove(WorkGroup group)
    {
        if (!requests.TryGetValue(group, out var request))
        {
            return default;
        }

        var count = request.Items.Count;
        foreach (var item in request.Items)
        {
            item.Taken = true;
        }

        Count -= count;
        request.Client.Count -= count;
        Leave(request);
        return (count, request.Tokens);
    }

    /// <summary>Takes out everything.</summary>
    public IReadOnlyList<(WorkGroup Group, int Count, long Tokens)> RemoveAll() =>
        [.. requests.Keys.ToList().Select(group => (group, Remove(group))).Select(removed => (removed.group, removed.Item2.Count, removed.Item2.Tokens))];

    /// <summary>The sequence whose turn it is; null when nothing waits. With <paramref name="isHeld"/> the clients whose own next one has to wait are passed over.</summary>
    public WorkItem? Next(Func<WorkItem, bool>? isHeld = null)
    {
        Client? next = null;
        foreach (var client in clients.Values)
        {
            if (isHeld?.Invoke(client.Requests[0].Items[0]) == true)
            {
                continue;
            }

            next = next is null || client.CompareTo(next) < 0 ? client : next;
        }

        return next?.Requests[0].Items[0];
    }

    /// <summary>The rows that a cut looks at, by length, and the place among them of the one whose turn it is: those with the same outputs whose turn is next. A step is alone.</summary>
    public (IReadOnlyList<WorkItem> Rows, int Index) Around(WorkItem item)
    {
        if (item.Group is StepGroup)
        {
            return ([item], 0);
        }

        var order = clients.Values.AsEnumerable();
        if (Count > Window)
        {
            order = clients.Values.Order();
        }

        var rows = order.SelectMany(client => client.Requests).Where(request => request.Group.Set == item.Group.Set && request.Group is not StepGroup).SelectMany(request => request.Items).Take(Window).ToList();
        rows.Sort(static (a, b) => a.PaddedLength.CompareTo(b.PaddedLength));
        return (rows, rows.IndexOf(item));
    }

    /// <summary>Takes a batch out, and charges each client its part.</summary>
    /// <returns>Tokens of the groups of which nothing waits any more.</returns>
    public long Take(IReadOnlyList<WorkItem> items)
    {
        now += running;
        running = 0;
        var tokens = 0L;
        var waiting = clients.Count;
        foreach (var rows in items.GroupBy(item => item.Group))
        {
            var request = requests[rows.Key];
            foreach (var item in rows)
            {
                item.Taken = true;
                request.Client.Count--;
                request.Client.Begin += Request.Cost(item);
                running += Request.Cost(item) / waiting;
            }

            request.Settle();
            if (request.Items.Count == 0)
            {
                tokens += request.Tokens;
                Leave(request);
            }
        }

        Count -= items.Count;
        return tokens;
    }

    private void Leave(Request request)
    {
        requests.Remove(request.Group);
        request.Client.Requests.Remove(request);
        if (request.Client.Requests.Count > 0)
        {
            return;
        }

        clients.Remove(request.Group.Client);
        if (clients.Count == 0)
        {
            left.Clear();
            return;
        }

        left[request.Group.Client] = request.Client.Begin;
        if (left.Count > 2 * Math.Max(clients.Count, Window))
        {
            foreach (var (who, _) in left.Where(pair => pair.Value <= now).ToList())
            {
                left.Remove(who);
            }
        }
    }

    // Who has requests waiting.
    private sealed class Client : IComparable<Client>
    {
        public double Begin { get; set; }

        /// <summary>What he had before of his share of the time to come, as far as it does not count.</summary>
        public double Ahead { get; init; }

        /// <summary>Number of sequences.</summary>
        public int Count { get; set; }

        /// <summary>By deadline, then by age.</summary>
        public List<Request> Requests { get; } = [];

        public void Add(Request request)
        {
            var at = Requests.Count;
            while (at > 0 && (request.Deadline, request.Number).CompareTo((Requests[at - 1].Deadline, Requests[at - 1].Number)) < 0)
            {
                at--;
            }

            Requests.Insert(at, request);
            Count += request.Items.Count;
        }

        public int CompareTo(Client? other) => (End, Requests[0].Number).CompareTo((other!.End, other.Requests[0].Number));

        private double End => Begin - Ahead + Requests[0].Next;
    }

    // The sequences of a group that wait, the shortest first.
    private sealed class Request
    {
        public Request(WorkGroup group, Client client, IReadOnlyList<WorkItem> items, long number)
        {
            Group = group;
            Client = client;
            Number = number;
            Items = [.. items];
            Items.Sort(static (a, b) => a.PaddedLength.CompareTo(b.PaddedLength));
            Tokens = items.Sum(item => (long)item.Input.Length);
            Settle();
        }

        public WorkGroup Group { get; }

        public Client Client { get; }

        public long Number { get; }

        public long Deadline => Group.Context.Deadline.UtcTicks;

        public List<WorkItem> Items { get; }

        public long Tokens { get; }

        /// <summary>Until its next answer: its own end, or that of its next sequence.</summary>
        public double Next { get; private set; }

        public static double Cost(WorkItem item) => item.PaddedLength * (item.Group.Context.Priority == Priority.Bulk ? BulkWeight : 1);

        public void Settle()
        {
            Items.RemoveAll(static item => item.Taken);
            if (Items.Count > 0)
            {
                var all = Items.Sum(item => (long)item.PaddedLength);
                Next = all <= Whole ? all * Cost(Items[0]) / Items[0].PaddedLength : Cost(Items[0]);
            }
        }
    }
}
