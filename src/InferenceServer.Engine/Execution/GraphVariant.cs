using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Execution;

/// <summary>A session of a graph: sequences go in, the outputs that were asked for come out as views of the native buffers.</summary>
/// <remarks>
/// A run: (1) every input is filled by its role in pooled buffers, rows padded at the right with the pad id and mask 0;
/// (2) the graph runs with plain <c>Run</c> on the calling thread; (3) <see cref="GraphOutputs"/> shows the outputs row by row.
/// </remarks>
internal sealed class GraphVariant : IGraphVariant, IDisposable
{
    private const int LongRun = 1024; // padded tokens: a usual batch keeps its memory for the next, a longer one gives it back

    private readonly InferenceSession session;
    private readonly string[] inputNames;
    private readonly Graph graph;

    /// <summary>Takes over <paramref name="session"/>, whose inputs are those of <paramref name="graph"/>.</summary>
    public GraphVariant(InferenceSession session, Graph graph)
    {
        this.session = session;
        this.graph = graph;
        inputNames = [.. graph.Inputs.Select(i => i.Name)];
    }

    /// <inheritdoc/>
    public IBatchOutputs Run(IReadOnlyList<GraphInput> rows, IReadOnlyCollection<string> outputs, CancellationToken terminate)
    {
        using var inputs = new InputTensors(graph, rows, LengthOf(rows));
        using var options = new RunOptions();
        if ((long)inputs.Rows * inputs.Length > LongRun)
        {
            options.AddRunConfigEntry("memory.enable_memory_arena_shrinkage", graph.Device.Arenas); // else one long text's memory is kept for ever
        }

        try
        {
            IDisposableReadOnlyCollection<OrtValue> values;
            using (terminate.UnsafeRegister(static o => ((RunOptions)o!).Terminate = true, options))
            {
                values = session.Run(options, inputNames, inputs.Values, outputs);
            }

            return new GraphOutputs(outputs, values, inputs.Rows);
        }
        catch (OnnxRuntimeException e)
        {
            terminate.ThrowIfCancellationRequested();
            throw NativeMessage.ToInference(e);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => session.Dispose();

    private int LengthOf(IReadOnlyList<GraphInput> rows)
    {
        var length = 0;
        foreach (var row in rows)
        {
            length = Math.Max(length, row.Length);
        }

        if (graph.Constraints.FixedLength is not { } fixedLength)
        {
            return length;
        }

        return length > fixedLength || (length < fixedLength && !graph.HasMask)
            ? throw InferenceException.Unprocessable(Argument.Of("Inputs"), $"The model takes exactly {fixedLength} tokens, and the input has {length}. Make it that long.")
            : fixedLength;
    }
}
