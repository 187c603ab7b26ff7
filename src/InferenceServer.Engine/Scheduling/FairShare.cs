namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// Who is served next so that all who wait get equal shares: start-time fair queueing (Goyal, Vin, Cheng: Start-time Fair Queueing, SIGCOMM 1996). Everybody has a
/// virtual time that grows with what is done for him; the least is next; who starts to wait begins where the one that was served last began.
/// </summary>
/// <typeparam name="T">Who.</typeparam>
internal sealed class FairShare<T>
    where T : class
{
    private readonly Dictionary<T, double> waiting = [];
    private double served;

    /// <summary>Who waits.</summary>
    public IReadOnlyCollection<T> Waiting => waiting.Keys;

    /// <summary>Nobody waits.</summary>
    public void Clear() => waiting.Clear();

    /// <summary>Starts to wait; no effect for who waits already.</summary>
    public void Enter(T who) => waiting.TryAdd(who, served);

    /// <summary>Waits no more.</summary>
    public void Leave(T who) => waiting.Remove(who);

    /// <summary>Who is next, by the least virtual time, then by <paramref name="order"/>; null when nobody waits but those who are left out.</summary>
    public T? Next(Func<T, long> order, IReadOnlyCollection<T>? without = null)
    {
        T? next = null;
        var (least, first) = (double.PositiveInfinity, long.MaxValue);
        foreach (var (who, time) in waiting)
        {
            if (without?.Contains(who) == true)
            {
                continue;
            }

            if (time < least || (time == least && order(who) < first))
            {
                (next, least, first) = (who, time, order(who));
            }
        }

        return next;
    }

    /// <summary>One who waits is chosen: newcomers start here.</summary>
    public void Choose(T who) => served = Math.Max(served, waiting[who]);

    /// <summary>Something that cost so much was done for one who waits.</summary>
    public void Charge(T who, double cost)
    {
        if (waiting.TryGetValue(who, out var time))
        {
            waiting[who] = time + cost;
        }
    }
}
