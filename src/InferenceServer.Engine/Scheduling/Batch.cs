using System.Diagnostics.CodeAnalysis;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>Sequences that run together.</summary>
/// <param name="executor">The graph that they are for.</param>
/// <param name="items">Sequences, by length.</param>
/// <param name="variant">What runs them.</param>
/// <param name="threads">Threads of the variant.</param>
/// <param name="cost">Milliseconds that the run is predicted to take.</param>
/// <param name="bytes">Bytes that it is predicted to take at its height.</param>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "A source without a timer holds nothing, and a late cancellation may still reach it.")]
internal sealed class Batch(GraphExecutor executor, IReadOnlyList<WorkItem> items, IGraphVariant variant, int threads, double cost, long bytes = 0)
{
    private readonly CancellationTokenSource stop = new();
    private readonly TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The graph that they are for.</summary>
    public GraphExecutor Executor { get; } = executor;

    /// <summary>Sequences, by length.</summary>
    public IReadOnlyList<WorkItem> Items { get; } = items;

    /// <summary>What runs them.</summary>
    public IGraphVariant Variant { get; } = variant;

    /// <summary>Threads of the variant.</summary>
    public int Threads { get; } = threads;

    /// <summary>Milliseconds that the run is predicted to take.</summary>
    public double Cost { get; } = cost;

    /// <summary>Bytes that it is predicted to take at its height.</summary>
    public long Bytes { get; } = bytes;

    /// <summary>Fires when nobody waits for the batch any more, or it has run too long.</summary>
    public CancellationToken Terminated => stop.Token;

    /// <summary>True when it was stopped because it had run too long.</summary>
    public bool IsOverdue { get; private set; }

    /// <summary>Ends with the batch.</summary>
    public Task Ended => ended.Task;

    /// <summary>The batch has ended.</summary>
    public void End() => ended.TrySetResult();

    /// <summary>Stops the run when it has taken so long (null: never), unless what is given back is disposed before.</summary>
    public IDisposable? StopAfter(TimeSpan? limit, TimeProvider time) =>
        limit is { } most ? time.CreateTimer(static batch => ((Batch)batch!).StopOverdue(), this, most, Timeout.InfiniteTimeSpan) : null;

    /// <summary>Stops the run, whoever waits for it.</summary>
    public void Stop() => stop.Cancel();

    /// <summary>Stops the run when nobody waits for any of its sequences.</summary>
    public void StopIfAbandoned()
    {
        if (Items.All(item => item.Group.IsDone))
        {
            stop.Cancel();
        }
    }

    private void StopOverdue()
    {
        IsOverdue = true;
        stop.Cancel();
    }
}
