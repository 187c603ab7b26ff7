using System.Diagnostics.CodeAnalysis;

namespace InferenceServer.Engine.Scheduling;

/// <summary>Riders that run together.</summary>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "A source without a timer holds nothing, and a late cancellation may still reach it.")]
internal sealed class Batch
{
    private readonly CancellationTokenSource stop = new();

    /// <summary>Puts the riders together.</summary>
    public Batch(IReadOnlyList<Rider> riders)
    {
        Riders = riders;
        foreach (var rider in riders)
        {
            rider.Board(this);
        }
    }

    /// <summary>Who rides, the longest last.</summary>
    public IReadOnlyList<Rider> Riders { get; }

    /// <summary>Fires when nobody waits for the batch any more.</summary>
    public CancellationToken Abandoned => stop.Token;

    /// <summary>Stops the run when every rider has gone.</summary>
    public void StopIfAbandoned()
    {
        if (Riders.All(r => r.IsDone))
        {
            stop.Cancel();
        }
    }
}
