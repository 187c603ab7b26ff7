using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>Reads a sequence's outputs on the worker's thread, before the native buffers are released: quick, no I/O, no waiting.</summary>
/// <typeparam name="T">What is read.</typeparam>
/// <param name="index">Which of the sequences that were given it is.</param>
/// <param name="row">Its outputs.</param>
public delegate T RowReader<out T>(int index, RowOutputs row);

/// <summary>The way to a graph: sequences in, batched with those of other requests, a row out of each.</summary>
public interface IGraphExecutor
{
    /// <summary>Runs sequences and reads the named outputs of their rows; the results are in the order of the sequences. They are admitted all or none.</summary>
    /// <exception cref="Diagnostics.InferenceException">The queue is full, a sequence is too large to run, or a run failed: the others are then not run.</exception>
    /// <exception cref="OperationCanceledException">The request was cancelled.</exception>
    Task<T[]> RunAsync<T>(IReadOnlyList<GraphInput> inputs, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context);
}
