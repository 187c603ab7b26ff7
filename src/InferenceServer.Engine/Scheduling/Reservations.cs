namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// Places kept for requests that were refused and told when to come again. Each refusal books the next free stretch of what the workers can do, so that who comes when
/// told finds a place, however many new requests come meanwhile. How many of those told do come is measured, and stretches shrink to that share. Not thread-safe.
/// </summary>
/// <remarks>
/// A request that comes again is recognised by its client and its fingerprint; by the fingerprint alone while no two clients send the same, as a pool of connections
/// sends a request again on any of them.
/// </remarks>
internal sealed class Reservations
{
    private const int Most = 1 << 16; // beyond it nothing is booked: the table is bounded, whoever sends
    private const double Learning = 0.02;
    private const double LeastReturning = 0.02;

    private static readonly TimeSpan Lookahead = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Early = TimeSpan.FromMilliseconds(100); // before its time a place can be taken: clocks differ
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(2); // how long after its time a place is kept

    private readonly Dictionary<(object? Client, ulong? Fingerprint), Queue<Place>> byRequest = [];
    private readonly Dictionary<ulong, Senders> byFingerprint = [];
    private readonly PriorityQueue<Place, long> upcoming = new();
    private readonly Queue<Place> near = []; // whose tokens are kept
    private double returning = 1; // share of those told that come
    private long kept;
    private DateTimeOffset bookedUntil;

    /// <summary>Tokens that are kept free: of the places whose time is now, or within a second, as many as are likely to be taken.</summary>
    public long Kept => (long)(kept * returning);

    /// <summary>True when no place is booked.</summary>
    public bool IsEmpty => byRequest.Count == 0;

    /// <summary>Books a place behind all others.</summary>
    /// <param name="client">Who sent the request, if it is known.</param>
    /// <param name="fingerprint">What the request is recognised by, if it is known.</param>
    /// <param name="tokens">What it will bring.</param>
    /// <param name="earliest">When what waits now has gone on far enough.</param>
    /// <param name="work">How long the workers take for it.</param>
    /// <param name="now">The time.</param>
    /// <returns>When to come again, in whole seconds from now.</returns>
    public TimeSpan Book(object? client, ulong? fingerprint, long tokens, DateTimeOffset earliest, TimeSpan work, DateTimeOffset now)
    {
        var isKnown = client is not null || fingerprint is not null;
        var start = isKnown && bookedUntil > earliest ? bookedUntil : earliest;
        var wait = TimeSpan.FromSeconds(Math.Max(1, Math.Ceiling((start - now).TotalSeconds)));
        if (isKnown && upcoming.Count + near.Count < Most)
        {
            bookedUntil = start + (work * returning);
            var place = new Place(client, fingerprint, tokens, now + wait);
            upcoming.Enqueue(place, place.Time.Ticks);
            if (!byRequest.TryGetValue((client, fingerprint), out var own))
            {
                byRequest[(client, fingerprint)] = own = [];
            }

            own.Enqueue(place);
            if (fingerprint is { } print)
            {
                var senders = byFingerprint.GetValueOrDefault(print, new Senders(client, 0, false));
                byFingerprint[print] = senders with { Places = senders.Places + 1, AreSeveral = senders.AreSeveral || !Equals(senders.First, client) };
            }
        }

        return wait;
    }

    /// <summary>Takes a place whose time has come, or nearly so, if there is one.</summary>
    public bool TryTake(object? client, ulong? fingerprint, DateTimeOffset now)
    {
        if (!byRequest.TryGetValue((client, fingerprint), out var own)
            && fingerprint is { } print && byFingerprint.TryGetValue(print, out var senders) && !senders.AreSeveral)
        {
            own = byRequest.GetValueOrDefault((senders.First, fingerprint));
        }

        if (own is null || own.Peek().Time - Early > now)
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
            kept += next.IsClosed ? 0 : next.Tokens;
        }

        while (near.TryPeek(out var first) && (first.IsClosed || first.Time + Grace < now))
        {
            if (!first.IsClosed)
            {
                Close(first, came: false);
            }

            near.Dequeue();
        }
    }

    // The first of those that were booked for the same: their times ascend.
    private void Close(Place place, bool came)
    {
        place.IsClosed = true;
        kept -= place.Tokens;
        returning = Math.Max(LeastReturning, ((1 - Learning) * returning) + (came ? Learning : 0));
        var own = byRequest[(place.Client, place.Fingerprint)];
        own.Dequeue();
        if (own.Count == 0)
        {
            byRequest.Remove((place.Client, place.Fingerprint));
        }

        if (place.Fingerprint is { } print)
        {
            var senders = byFingerprint[print];
            if (senders.Places == 1)
            {
                byFingerprint.Remove(print);
            }
            else
            {
                byFingerprint[print] = senders with { Places = senders.Places - 1 };
            }
        }
    }

    // Who has booked places for one fingerprint.
    private readonly record struct Senders(object? First, int Places, bool AreSeveral);

    private sealed class Place(object? client, ulong? fingerprint, long tokens, DateTimeOffset time)
    {
        public object? Client { get; } = client;

        public ulong? Fingerprint { get; } = fingerprint;

        public long Tokens { get; } = tokens;

        public DateTimeOffset Time { get; } = time;

        public bool IsClosed { get; set; }
    }
}
