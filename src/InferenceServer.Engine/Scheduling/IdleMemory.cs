using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// Gives back what large runs left behind: ONNX Runtime keeps the memory of a run for the next one. Under load that is what it should do, so nothing is given back before
/// the device has been idle for a moment. Thread-safe.
/// </summary>
/// <param name="scheduler">The device's scheduler.</param>
internal sealed class IdleMemory(Scheduler scheduler)
{
    /// <summary>Bytes of a run that are worth giving back.</summary>
    public const long Large = 16L << 20;

    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(500);

    private readonly Lock gate = new();
    private readonly HashSet<(GraphExecutor Executor, OutputSet Outputs, int Threads)> grown = [];

    /// <summary>A batch has run.</summary>
    public void Ran(Batch batch)
    {
        if (batch.Bytes >= Large && batch.Items.Count > 0)
        {
            lock (gate)
            {
                grown.Add((batch.Executor, batch.Items[0].Group.Set, batch.Threads));
            }
        }
    }

    /// <summary>How long a worker without work should wait before it looks; infinite when there is nothing to give back.</summary>
    public int MillisecondsToNext()
    {
        lock (gate)
        {
            return grown.Count == 0 ? Timeout.Infinite : Math.Max(1, (int)(Quiet - scheduler.Idle).TotalMilliseconds);
        }
    }

    /// <summary>Gives back the memory of one variant, when nothing has run for a while; true when it did.</summary>
    public bool Step()
    {
        (GraphExecutor Executor, OutputSet Outputs, int Threads) next;
        lock (gate)
        {
            if (grown.Count == 0 || scheduler.Idle < Quiet)
            {
                return false;
            }

            next = grown.First();
            grown.Remove(next);
        }

        if (scheduler.TakeIdle(next.Executor, next.Outputs, next.Threads, Quiet) is not { } batch)
        {
            if (scheduler.Serves(next.Executor))
            {
                lock (gate)
                {
                    grown.Add(next); // somebody was quicker
                }
            }

            return false;
        }

        try
        {
            batch.Variant.GiveBack();
        }
        catch (InferenceException)
        {
            // A graph that does not run on a short text keeps what it has.
        }
        finally
        {
            scheduler.Ended(batch);
        }

        return true;
    }
}
