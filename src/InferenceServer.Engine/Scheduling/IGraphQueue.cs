using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>A sequence to run: the ids as they go into the graph, special tokens included. <paramref name="TypeIds"/> null = all 0.</summary>
public sealed record GraphInput(int[] InputIds, int[]? TypeIds = null);

/// <summary>Reads a sequence's outputs on the lane's thread, before the native buffers are released: quick, no I/O, no waiting.</summary>
/// <typeparam name="T">What is read.</typeparam>
public delegate T RowReader<out T>(RowOutputs row);

/// <summary>The way to a loaded graph: sequences in, batched with those of other requests, a row out.</summary>
public interface IGraphQueue
{
    /// <summary>Runs one sequence and reads the named outputs of its row.</summary>
    /// <exception cref="Diagnostics.InferenceException">The queue is full, the deadline passed, or the run failed.</exception>
    /// <exception cref="OperationCanceledException">The request was cancelled.</exception>
    Task<T> RunAsync<T>(GraphInput input, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context);
}
