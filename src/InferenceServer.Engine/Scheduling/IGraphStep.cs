using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// A run of a graph that is no batch of sequences: it keeps state from one run to the next, as a decode step does with its KV cache. It takes its turn among what waits
/// and runs alone, on the threads that are free.
/// </summary>
internal interface IGraphStep
{
    /// <summary>Rows of the run.</summary>
    int Rows { get; }

    /// <summary>New tokens of all rows: what the run costs.</summary>
    int Tokens { get; }

    /// <summary>Bytes of the state that goes into the run, and comes out of it anew.</summary>
    long Bytes { get; }

    /// <summary>Runs; on a worker's thread.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="terminate"/> fired.</exception>
    void Run(IGraphVariant variant, CancellationToken terminate);
}

/// <summary>The one item of a step.</summary>
internal sealed class StepGroup(IGraphStep step, RequestContext context, long enqueued) : WorkGroup(context, [], OutputSet.Plain, enqueued)
{
    private readonly TaskCompletionSource completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>What runs.</summary>
    public IGraphStep Step { get; } = step;

    /// <summary>Ends with the step.</summary>
    public Task Task => completion.Task;

    /// <inheritdoc/>
    public override bool IsDone => completion.Task.IsCompleted;

    /// <summary>The step has run.</summary>
    public void Complete()
    {
        completion.TrySetResult();
        Unwatch();
    }

    /// <inheritdoc/>
    public override void Read(int index, RowOutputs row) => throw new InvalidOperationException("A step has no rows that others read.");

    /// <inheritdoc/>
    public override void Fail(Exception exception)
    {
        completion.TrySetException(exception);
        Unwatch();
    }

    /// <inheritdoc/>
    protected override void Cancel(CancellationToken token) => completion.TrySetCanceled(token);
}
