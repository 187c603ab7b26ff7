namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// Places kept for requests that were refused and told when to come again. Each refusal books the next free stretch of what the workers can do, so that who comes when
/// told finds a place, however many new requests come meanwhile. How many of those told do come is measured, and stretches shrink to that share. Not thread-safe.
/// </summary>
internal sealed class Reservations
{
    private const int Most = 1 << 16; // beyond it nothing is booked: the table is bounded, whoever sends
    private const double Learning = 0.02;
    private const double LeastReturning = 0.02;

    private static readonly TimeSpan Lookahead = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(2); // how long after its time a place is kept

    private readonly Dictionary<object, Queue<Place>> byWho = [];
    private readonly PriorityQueue<Place, long> upcoming = new();
    private readonly Queue<Place> near = []; // whose tokens are kept
    private double returning = 1; // share of those told that come
    private DateTimeOffset bookedUntil;

    /// <summary>Tokens of the places whose time is now, or within a second.</summary>
    public long Kept { get; private set; }

    /// <summary>True when no place is booked.</summary>
    public bool IsEmpty => byWho.Count == 0;

    /// <summary>Books a place behind all others.</summary>
    /// <param name="who">What the request is recognised by: its fingerprint, else its client.</param>
    /// <param name="tokens">What it will bring.</param>
    /// <param name="earliest">When what waits now has gone on far enough.</param>
    /// <param name="work">How long the workers take for it.</param>
    /// <param name="now">The time.</param>
    /// <returns>When to come again, in whole seconds from now.</returns>
    public TimeSpan Book(object who, long tokens, DateTimeOffset earliest, TimeSpan work, DateTimeOffset now)
    {
        var start = bookedUntil > earliest ? bookedUntil : earliest;
        var wait = TimeSpan.FromSeconds(Math.Max(1, Math.Ceiling((start - now).TotalSeconds)));
        if (upcoming.Count + near.Count < Most)
        {
            bookedUntil = start + (work * returning);
            var place = new Place(who, tokens, now + wait);
            upcoming.Enqueue(place, place.Time.Ticks);
            if (!byWho.TryGetValue(who, out var own))
            {
                byWho[who] = own = [];
            }

            own.Enqueue(place);
        }

        return wait;
    }

    /// <summary>Takes a place whose time has come, if there is one.</summary>
    public bool TryTake(object who, DateTimeOffset now)
    {
        if (!byWho.TryGetValue(who, out var own) || own.Peek().Time > now)
        {
            return false;
        }

        Close(own.Peek(), came: true);
        return true;
    }

    /// <summary>Keeps the places whose time is near, and lets those go whose time is past.</summary>
    public void Advance(DateTimeOffset now)
    {
        while (upcoming.TryPeek(out var next, out _) && next.Time - Lookahead <= now)
        {
            near.Enqueue(upcoming.Dequeue());
            Kept += next.Closed ? 0 : next.Tokens;
        }

        while (near.TryPeek(out var first) && (first.Closed || first.Time + Grace < now))
        {
            if (!first.Closed)
            {
                Close(first, came: false);
            }

            near.Dequeue();
        }
    }

    // The first of those that the same one has booked: their times ascend.
    private void Close(Place place, bool came)
    {
        place.Closed = true;
        Kept -= place.Tokens;
        returning = Math.Max(LeastReturning, ((1 - Learning) * returning) + (came ? Learning : 0));
        var own = byWho[place.Who];
        own.Dequeue();
        if (own.Count == 0)
        {
            byWho.Remove(place.Who);
        }
    }

    private sealed class Place(object who, long tokens, DateTimeOffset time)
    {
        public object Who { get; } = who;

        public long Tokens { get; } = tokens;

        public DateTimeOffset Time { get; } = time;

        public bool Closed { get; set; }
    }
}
