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
    private readonly InferenceSession session;
    private readonly string[] inputNames;
    private readonly Graph graph;
    private readonly IReadOnlyList<InputBinding> inputs; // of the session
    private readonly int[]? fed; // which of the graph's inputs the session has; null: all

    /// <summary>Takes over <paramref name="session"/>, whose inputs are those of <paramref name="graph"/>, or the file's where the graph has been given one more.</summary>
    /// <param name="session">The session.</param>
    /// <param name="graph">The graph.</param>
    /// <param name="further">An input that this session alone has.</param>
    public GraphVariant(InferenceSession session, Graph graph, InputBinding? further = null)
    {
        this.session = session;
        this.graph = graph;
        var own = session.InputNames.ToHashSet(StringComparer.Ordinal);
        inputs = [.. graph.Inputs.Where(input => own.Contains(input.Name)), .. further is null ? (InputBinding[])[] : [further]];
        inputNames = [.. inputs.Select(input => input.Name)];
        fed = graph.Inputs.All(input => own.Contains(input.Name)) ? null : [.. Enumerable.Range(0, graph.Inputs.Count).Where(i => own.Contains(graph.Inputs[i].Name))];
    }

    /// <inheritdoc/>
    public IBatchOutputs Run(IReadOnlyList<GraphInput> rows, IReadOnlyCollection<string> outputs, CancellationToken terminate) => Run(rows, outputs, shrink: false, terminate);

    /// <inheritdoc/>
    public void GiveBack()
    {
        Run([new GraphInput([.. Enumerable.Repeat(0, graph.Constraints.FixedLength ?? 1)])], [graph.Outputs[0]], shrink: true, CancellationToken.None).Dispose();
        FreeMemory.Return();
    }

    /// <inheritdoc/>
    public void Dispose() => session.Dispose();

    // Arenas shrink at the end of a run, when its own outputs are still held: of use only in a run that is small itself.
    private GraphOutputs Run(IReadOnlyList<GraphInput> rows, IReadOnlyCollection<string> outputs, bool shrink, CancellationToken terminate)
    {
        using var tensors = new InputTensors(graph, inputs, rows, LengthOf(rows));
        return new GraphOutputs(outputs, RunFed(tensors.Values, outputs, shrink, terminate), tensors.Rows);
    }

    /// <summary>Runs the graph on tensors in the order of <see cref="Graph.Inputs"/>; the outputs, in the order of their names, are the caller's.</summary>
    /// <exception cref="InferenceException">The graph refused the input, or failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="terminate"/> fired while the graph ran.</exception>
    internal IDisposableReadOnlyCollection<OrtValue> Run(IReadOnlyList<OrtValue> inputs, IReadOnlyCollection<string> outputs, bool shrink, CancellationToken terminate) =>
        RunFed(fed is null ? inputs : Array.ConvertAll(fed, i => inputs[i]), outputs, shrink, terminate);

    private IDisposableReadOnlyCollection<OrtValue> RunFed(IReadOnlyList<OrtValue> inputs, IReadOnlyCollection<string> outputs, bool shrink, CancellationToken terminate)
    {
        using var options = new RunOptions();
        if (shrink)
        {
            options.AddRunConfigEntry("memory.enable_memory_arena_shrinkage", graph.Device.Arenas);
        }

        try
        {
            using (terminate.UnsafeRegister(static o => ((RunOptions)o!).Terminate = true, options))
            {
                return session.Run(options, inputNames, inputs, outputs);
            }
        }
        catch (OnnxRuntimeException e)
        {
            terminate.ThrowIfCancellationRequested();
            throw NativeMessage.ToInference(e);
        }
    }

    /// <summary>Runs the graph on tensors some of which it writes its outputs into; the one output that has none is the caller's.</summary>
    /// <exception cref="InferenceException">The graph refused the input, or failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="terminate"/> fired while the graph ran.</exception>
    internal OrtValue Run(IReadOnlyList<OrtValue> inputs, string output, IReadOnlyList<OrtValue> written, IReadOnlyList<string> names, CancellationToken terminate)
    {
        using var options = new RunOptions();
        using var binding = session.CreateIoBinding();
        for (var i = 0; i < inputNames.Length; i++)
        {
            binding.BindInput(inputNames[i], inputs[fed is null ? i : fed[i]]);
        }

        binding.BindOutputToDevice(output, OrtMemoryInfo.DefaultInstance);
        for (var i = 0; i < names.Count; i++)
        {
            binding.BindOutput(names[i], written[i]);
        }

        try
        {
            using (terminate.UnsafeRegister(static o => ((RunOptions)o!).Terminate = true, options))
            {
                session.RunWithBinding(options, binding);
            }

            var outputs = binding.GetOutputValues();
            foreach (var other in outputs.Skip(1))
            {
                other.Dispose(); // views of what was bound
            }

            return outputs[0];
        }
        catch (OnnxRuntimeException e)
        {
            terminate.ThrowIfCancellationRequested();
            throw NativeMessage.ToInference(e);
        }
    }

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
