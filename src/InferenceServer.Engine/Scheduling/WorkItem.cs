using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>One sequence on its way: it waits, runs in a batch, and is answered once.</summary>
/// <param name="group">The sequences that it is answered with.</param>
/// <param name="index">Which of them it is.</param>
/// <param name="input">The sequence.</param>
/// <param name="paddedLength">The length that it takes in a batch.</param>
internal sealed class WorkItem(WorkGroup group, int index, GraphInput input, int paddedLength)
{
    /// <summary>The sequences that it is answered with.</summary>
    public WorkGroup Group { get; } = group;

    /// <summary>Which of them it is.</summary>
    public int Index { get; } = index;

    /// <summary>The sequence.</summary>
    public GraphInput Input { get; } = input;

    /// <summary>The length that it takes in a batch.</summary>
    public int PaddedLength { get; } = paddedLength;

    /// <summary>True once it has left the queue.</summary>
    public bool Taken { get; set; }
}

/// <summary>The sequences of one call, answered together: with all results, or with the first failure.</summary>
internal abstract class WorkGroup(RequestContext context, IReadOnlyList<string> outputs, OutputSet set, long enqueued)
{
    private CancellationTokenRegistration registration;

    /// <summary>The request.</summary>
    public RequestContext Context { get; } = context;

    /// <summary>The outputs that are read of each row.</summary>
    public IReadOnlyList<string> Outputs { get; } = outputs;

    /// <summary>The set of outputs that has them.</summary>
    public OutputSet Set { get; } = set;

    /// <summary>When it came, as a timestamp of the scheduler's clock.</summary>
    public long Enqueued { get; } = enqueued;

    /// <summary>Who gets a share of the workers.</summary>
    public object Client => Context.Client ?? Context;

    /// <summary>True when it has been answered, or nobody waits any more.</summary>
    public abstract bool IsDone { get; }

    /// <summary>Reads the row of a sequence; answers when it was the last.</summary>
    public abstract void Read(int index, RowOutputs row);

    /// <summary>Answers with a failure; the other sequences need not run.</summary>
    public abstract void Fail(Exception exception);

    /// <summary>From now on a cancellation of the request answers at once, and <paramref name="gone"/> is called.</summary>
    public void WatchCancellation(Action<WorkGroup> gone)
    {
        registration = Context.Cancellation.UnsafeRegister(
            static (state, token) =>
            {
                var (group, gone) = ((WorkGroup, Action<WorkGroup>))state!;
                group.Cancel(token);
                gone(group);
            },
            (this, gone));
        if (IsDone)
        {
            Unwatch(); // it was answered before it was watched
        }
    }

    /// <summary>Answers that the request was cancelled.</summary>
    protected abstract void Cancel(CancellationToken token);

    /// <summary>Stops watching for a cancellation; without it every group of a long-lived token would stay in memory.</summary>
    protected void Unwatch() => registration.Unregister();
}

/// <summary>Sequences whose rows are read as <typeparamref name="T"/>.</summary>
internal sealed class WorkGroup<T>(int count, RowReader<T> read, RequestContext context, IReadOnlyList<string> outputs, OutputSet set, long enqueued)
    : WorkGroup(context, outputs, set, enqueued)
{
    private readonly TaskCompletionSource<T[]> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly T[] results = new T[count];
    private int remaining = count;

    /// <summary>All results, in the order of the sequences.</summary>
    public Task<T[]> Task => completion.Task;

    /// <inheritdoc/>
    public override bool IsDone => completion.Task.IsCompleted;

    /// <inheritdoc/>
    public override void Read(int index, RowOutputs row)
    {
        try
        {
            results[index] = read(index, row);
        }
        catch (OperationCanceledException e)
        {
            completion.TrySetCanceled(e.CancellationToken);
        }
        catch (Exception e)
        {
            Fail(e as InferenceException ?? new InferenceException(ErrorCode.Internal, $"The model's output could not be read.", null, e));
        }

        if (Interlocked.Decrement(ref remaining) == 0)
        {
            completion.TrySetResult(results);
            Unwatch();
        }
    }

    /// <inheritdoc/>
    public override void Fail(Exception exception)
    {
        completion.TrySetException(exception);
        Unwatch();
    }

    /// <inheritdoc/>
    protected override void Cancel(CancellationToken token) => completion.TrySetCanceled(token);
}
