using System.Collections.Concurrent;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Execution;

/// <summary>What a graph is opened from.</summary>
/// <param name="Summary">What its file says.</param>
/// <param name="Config">config.json.</param>
/// <param name="Expose">
/// The bytes of a file (the graph's own, or its optimized copy) with the attention probabilities of the summary as outputs; null where that file does not show the same ones.
/// </param>
/// <param name="Given">Values that were set for inputs without a known role.</param>
internal sealed record GraphSource(GraphSummary Summary, ModelConfig Config, Func<string, byte[]?> Expose, GivenInputs? Given = null);

/// <summary>A graph of a model and its variants, which share one copy of the weights.</summary>
/// <remarks>
/// (1) The file is opened once, and ONNX Runtime writes what it made of it (constants folded, nodes fused, weights packed for this processor) into a
/// <see cref="PreparedGraph"/>. (2) Every variant is a session of that copy, whose weights are mapped into memory and therefore there once, however many variants
/// there are. (3) Attention is exposed by an edit of the copy's graph; where the copy does not show the same attention as the file (fused away), the file itself is
/// edited, with weights of its own. (4) Where no copy can be kept, every variant is a session of the file.
/// Variants of attention are sessions of their own because ONNX Runtime holds every output of a graph to the end of a run: with exposed attention a text of n
/// tokens costs <c>layers x heads x n x n</c> floats even where only a vector is wanted.
/// </remarks>
internal sealed class Graph : IGraph, IDisposable
{
    private const int AssumedHeads = 16; // where neither graph nor config.json says how many there are

    private readonly GraphSource source;
    private readonly PreparedGraph? prepared;
    private readonly ConcurrentDictionary<(OutputSet Outputs, int Threads), Lazy<Task<GraphVariant>>> variants = [];
    private readonly HashSet<string> exposed;
    private readonly GraphVariant plain;
    private readonly Dictionary<string, int[]> outputs;
    private readonly int heads;

    private Graph(GraphSource source, InferenceSession session, PreparedGraph? prepared, ExecutionDevice device)
    {
        this.source = source;
        this.prepared = prepared;
        Device = device;
        heads = source.Config.Heads ?? AssumedHeads;
        Inputs = InputBinding.BindAll(Path.GetFileName(source.Summary.File), session.InputMetadata, source.Config, source.Given);
        outputs = session.OutputMetadata.ToDictionary(o => o.Key, o => o.Value.IsTensor ? o.Value.Dimensions : [], StringComparer.Ordinal);
        exposed = source.Summary.Attention.Select(t => t.Output).Where(o => !outputs.ContainsKey(o)).ToHashSet(StringComparer.Ordinal);

        var ids = Inputs.First(i => i.Role == InputRole.InputIds);
        FixedBatch = ids.Shape is [> 0, ..] ? ids.Shape[0] : null;
        int? fixedLength = ids.Shape is [_, > 0] ? ids.Shape[1] : null;
        HasMask = Inputs.Any(i => i.Role is InputRole.AttentionMask or InputRole.LastPosition);
        Constraints = new BatchConstraints(source.Summary.QuantizesActivations ? 1 : FixedBatch ?? int.MaxValue, EqualLengthsOnly: !HasMask, fixedLength);
        Outputs = Comparable(session.OutputMetadata);
        plain = new GraphVariant(session, this);
        variants[(OutputSet.Plain, 1)] = new Lazy<Task<GraphVariant>>(Task.FromResult(plain));
    }

    /// <summary>Where it runs.</summary>
    public ExecutionDevice Device { get; }

    /// <summary>What is fed, in the order of the sessions.</summary>
    public IReadOnlyList<InputBinding> Inputs { get; }

    /// <summary>Rows that every batch must have, where the graph declares them.</summary>
    public int? FixedBatch { get; }

    /// <summary>True when the graph is told which positions are padding.</summary>
    public bool HasMask { get; }

    /// <inheritdoc/>
    public BatchConstraints Constraints { get; private set; }

    /// <summary>The id that stands on padded positions; set before the first batch.</summary>
    public int PadId { get; set; }

    /// <summary>What the first token's <c>position_ids</c> is; set before the first batch.</summary>
    public int FirstPosition { get; set; }

    /// <summary>What measurements of this graph are kept by.</summary>
    public string Key => PreparedGraph.Key(source.Summary);

    /// <summary>Why the variants do not share their weights, or null when they do.</summary>
    public string? NotShared { get; private set; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Outputs { get; }

    /// <summary>Opens a graph with its own outputs and one thread.</summary>
    /// <exception cref="ModelLoadException">The file is damaged, or its inputs cannot be fed.</exception>
    public static Graph Open(GraphSource source, ExecutionDevice device)
    {
        var file = source.Summary.File;
        if (PreparedGraph.Find(source.Summary, device) is { } kept)
        {
            var mapped = Session(file, kept.File, null, device, 1);
            return Guarded(() => new Graph(source, mapped, kept, device), mapped);
        }

        var writing = PreparedGraph.Begin(source.Summary, device, out var whyNot);
        InferenceSession session;
        try
        {
            session = Session(file, file, writing, device, 1);
        }
        catch (ModelLoadException) when (writing is not null)
        {
            // Whether the copy or the file is at fault shows without the copy.
            writing.Dispose();
            whyNot = $"no optimized copy can be written to {writing.Directory}";
            writing = null;
            session = Session(file, file, null, device, 1);
        }

        var graph = Guarded(() => new Graph(source, session, null, device) { NotShared = whyNot }, session);
        return writing is null ? graph : graph.Reopened(writing);
    }

    /// <summary>From now on every sequence runs alone; called before the first batch.</summary>
    public void RunAlone() => Constraints = Constraints with { MaxSequences = 1 };

    /// <summary>What ONNX Runtime said about a failed run, for the person who looks after the model.</summary>
    public static string Explain(InferenceException failure) => failure.InnerException is { } inner ? NativeMessage.Short(inner) : failure.Message.TrimEnd('.');

    /// <summary>Runs rows with the graph's own outputs on one thread.</summary>
    public IBatchOutputs Run(IReadOnlyList<GraphInput> rows, IReadOnlyCollection<string> names) => plain.Run(rows, names, CancellationToken.None);

    /// <inheritdoc/>
    public bool HasOutput(string name) => outputs.ContainsKey(name) || exposed.Contains(name);

    /// <inheritdoc/>
    public OutputSet SetOf(IReadOnlyList<string> outputs)
    {
        foreach (var output in outputs)
        {
            if (exposed.Contains(output))
            {
                return OutputSet.Attention;
            }
        }

        return OutputSet.Plain;
    }

    /// <inheritdoc/>
    public long RunBytes(OutputSet outputs, int rows, int length)
    {
        var bytes = outputs == OutputSet.Attention ? exposed.Count * AttentionBytes(rows, length) : 0;
        foreach (var shape in this.outputs.Values)
        {
            bytes += OutputBytes(shape, rows, length);
        }

        return bytes;
    }

    /// <inheritdoc/>
    public IGraphVariant? Opened(OutputSet outputs, int threads) =>
        variants.TryGetValue((outputs, threads), out var variant) && variant is { IsValueCreated: true, Value.IsCompletedSuccessfully: true } ? variant.Value.Result : null;

    /// <inheritdoc/>
    public Task OpenAsync(OutputSet outputs, int threads) =>
        variants.GetOrAdd((outputs, threads), static (key, graph) => new Lazy<Task<GraphVariant>>(() => Task.Run(() => graph.OpenVariant(key.Outputs, key.Threads))), this).Value;

    /// <summary>Closes every variant; one that is being opened is waited for. Nobody may run any more.</summary>
    public void Dispose()
    {
        foreach (var variant in variants.Values)
        {
            try
            {
                variant.Value.GetAwaiter().GetResult().Dispose();
            }
            catch (ModelLoadException)
            {
                // It could not be opened: there is nothing to close.
            }
        }

        prepared?.Dispose();
    }

    private static List<string> Comparable(IReadOnlyDictionary<string, NodeMetadata> outputs) =>
    [
        .. outputs
            .Where(o => !o.Key.StartsWith("present", StringComparison.Ordinal) && o.Value.IsTensor
                && o.Value.ElementDataType is TensorElementType.Float or TensorElementType.Float16 or TensorElementType.BFloat16)
            .Select(o => o.Key),
    ];

    private static Graph Guarded(Func<Graph> make, InferenceSession otherwise)
    {
        try
        {
            return make();
        }
        catch
        {
            otherwise.Dispose();
            throw;
        }
    }

    // The session of the file makes way for one of the copy, once both have given the same numbers.
    private Graph Reopened(PreparedGraph written)
    {
        Graph? copy = null;
        try
        {
            written.Complete();
            var session = Session(source.Summary.File, written.File, null, Device, 1);
            copy = Guarded(() => new Graph(source, session, written, Device), session);
            if (GivesSame(copy))
            {
                Dispose();
                return copy;
            }

            NotShared = "its optimized copy does not give the same numbers";
        }
        catch (Exception e) when (e is ModelLoadException or IOException or UnauthorizedAccessException)
        {
            NotShared = $"its optimized copy cannot be used: {e.Message.TrimEnd('.')}";
        }

        (copy as IDisposable ?? written).Dispose();
        return this;
    }

    // Whether both compute the same for a short sequence of the first ids. A graph that does not run is left to the warm-up, which says why.
    private bool GivesSame(Graph other)
    {
        GraphInput[] rows = [new([.. Enumerable.Range(0, Constraints.FixedLength ?? 8).Select(i => i % 2)])];
        var names = Outputs;
        try
        {
            using var mine = Run(rows, names);
            using var others = other.Run(rows, names);
            return names.All(name => mine.Row(name, 0).Data.SequenceEqual(others.Row(name, 0).Data));
        }
        catch (InferenceException)
        {
            return false;
        }
    }

    private GraphVariant OpenVariant(OutputSet set, int threads)
    {
        var summary = source.Summary;
        if (set == OutputSet.Plain)
        {
            return new GraphVariant(Session(summary.File, prepared?.File ?? summary.File, null, Device, threads), this);
        }

        var (file, model) = (prepared?.File ?? summary.File, source.Expose(prepared?.File ?? summary.File));
        if (model is null)
        {
            (file, model) = (summary.File, source.Expose(summary.File) ?? throw new ModelLoadException("The graph shows no attention."));
        }

        try
        {
            return new GraphVariant(Session(summary.File, file, null, Device, threads, model), this);
        }
        catch (ModelLoadException e)
        {
            throw new ModelLoadException("The runtime does not run this model with its attention probabilities as outputs. Export it with attn_implementation=eager.", e);
        }
    }

    /// <summary>Bytes of one layer's attention <c>[rows, heads, length, length]</c>.</summary>
    private long AttentionBytes(int rows, int length) => (long)rows * heads * length * length * sizeof(float);

    private long OutputBytes(int[] shape, int rows, int length)
    {
        if (shape.Length == 0)
        {
            return AttentionBytes(rows, length); // no shape at all: as if it were attention
        }

        var elements = 1L;
        for (var axis = 0; axis < shape.Length; axis++)
        {
            // Of four axes the second is the heads: attention [batch, heads, S, S].
            elements *= shape[axis] >= 0 ? shape[axis] : axis == 0 ? rows : axis == 1 && shape.Length == 4 ? heads : length;
        }

        return elements * sizeof(float);
    }

    // A session of a file, or of its edited bytes (external data is then still found from the file's folder). An optimized copy is taken as it is.
    private static InferenceSession Session(string original, string file, PreparedGraph? write, ExecutionDevice device, int threads, byte[]? edited = null)
    {
        try
        {
            using var options = device.CreateSessionOptions(threads, optimize: file == original);
            write?.WriteTo(options);
            if (edited is null)
            {
                return new InferenceSession(file, options);
            }

            options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", FolderFiles.WeightsRoot(Path.GetDirectoryName(file)!));
            return new InferenceSession(edited, options);
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelLoadException($"{Path.GetFileName(original)}: ONNX Runtime cannot load the graph: {NativeMessage.Short(e)}. Download or export the file again.", e);
        }
    }
}
