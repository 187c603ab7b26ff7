using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Sessions;

namespace InferenceServer.Engine.Batching;

/// <summary>A sequence on its way: it waits, rides in a batch, and is answered once.</summary>
internal abstract class Rider(GraphInput input, IReadOnlyList<string> outputs, RequestContext context, long enqueued)
{
    private CancellationTokenRegistration registration;
    private Batch? batch;
    private int left;

    /// <summary>The sequence.</summary>
    public GraphInput Input { get; } = input;

    /// <summary>The outputs that are read of its row.</summary>
    public IReadOnlyList<string> Outputs { get; } = outputs;

    /// <summary>The request that it belongs to.</summary>
    public RequestContext Context { get; } = context;

    /// <summary>When it came, as a timestamp of the queue's clock.</summary>
    public long Enqueued { get; } = enqueued;

    /// <summary>Number of tokens.</summary>
    public int Length => Input.InputIds.Length;

    /// <summary>True when it has been answered or cancelled.</summary>
    public abstract bool IsDone { get; }

    /// <summary>Reads the row and answers.</summary>
    public abstract void Read(RowOutputs row);

    /// <summary>Answers with a failure.</summary>
    public abstract void Fail(Exception exception);

    /// <summary>From now on a cancellation of the request answers it at once, waiting or riding.</summary>
    public void WatchCancellation(Door door)
    {
        registration = Context.Cancellation.UnsafeRegister(
            static (state, token) =>
            {
                var (rider, door) = ((Rider, Door))state!;
                rider.Cancel(token);
                rider.LeaveQueue(door);
                Volatile.Read(ref rider.batch)?.StopIfAbandoned();
            },
            (this, door));
    }

    /// <summary>Gives its place at the door back, once.</summary>
    public void LeaveQueue(Door door)
    {
        if (Interlocked.Exchange(ref left, 1) == 0)
        {
            door.Leave(this);
        }
    }

    /// <summary>Joins a batch; a cancellation from here on may stop the batch.</summary>
    public void Board(Batch into)
    {
        Volatile.Write(ref batch, into);
        Interlocked.MemoryBarrier();
    }

    /// <summary>Stops watching for a cancellation; without it every rider of a long-lived token would stay in memory.</summary>
    public void Unwatch() => registration.Unregister();

    /// <summary>Answers that the request was cancelled.</summary>
    protected abstract void Cancel(CancellationToken token);
}

/// <summary>A rider whose row is read as <typeparamref name="T"/>.</summary>
internal sealed class Rider<T>(GraphInput input, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context, long enqueued)
    : Rider(input, outputs, context, enqueued)
{
    private readonly TaskCompletionSource<T> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<T> Task => completion.Task;

    public override bool IsDone => completion.Task.IsCompleted;

    public override void Read(RowOutputs row)
    {
        try
        {
            completion.TrySetResult(read(row));
        }
        catch (InferenceException e)
        {
            completion.TrySetException(e);
        }
        catch (OperationCanceledException e)
        {
            completion.TrySetCanceled(e.CancellationToken);
        }
        catch (Exception e)
        {
            completion.TrySetException(new InferenceException(ErrorCode.Internal, $"The model's output could not be read.", null, e));
        }

        Unwatch();
    }

    public override void Fail(Exception exception)
    {
        completion.TrySetException(exception);
        Unwatch();
    }

    protected override void Cancel(CancellationToken token) => completion.TrySetCanceled(token);
}
