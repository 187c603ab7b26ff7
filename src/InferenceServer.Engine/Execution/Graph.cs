using System.Collections.Concurrent;
using System.Globalization;
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
/// <param name="IsDecoder">True for the decoder of an encoder-decoder, which is fed the encoder's states; it keeps no optimized copy.</param>
internal sealed record GraphSource(GraphSummary Summary, ModelConfig Config, Func<string, byte[]?> Expose, GivenInputs? Given = null, bool IsDecoder = false)
{
    /// <summary>The bytes of the file with the probabilities and what leads to them as outputs; null where there is none.</summary>
    public Func<byte[]?> ExposeParts { get; init; } = static () => null;

    /// <summary>The bytes of the file with <see cref="HeadMask.Input"/>; null where there is none.</summary>
    public Func<byte[]?> ExposeHeadMask { get; init; } = static () => null;

    /// <summary>A faster form of the same graph, which is taken where it gives the same logits; null where there is none.</summary>
    public GraphRewrite? Rewrite { get; init; }

    /// <summary>What products with packed weights are computed at (<c>accuracy_level</c> of MatMulNBits); null: as the file says.</summary>
    public int? AccuracyLevel { get; init; }

    /// <summary>The bytes of the file at a level; needed where <see cref="AccuracyLevel"/> is set.</summary>
    public Func<int, byte[]>? AtAccuracy { get; init; }

    /// <summary>Reads the bytes that sessions of the file are made of; null: the file as it is.</summary>
    public byte[]? ReadEdited() => AccuracyLevel is { } level ? AtAccuracy!(level) : null;

    /// <summary>Names the form of the file that sessions are made of.</summary>
    public string Form => AccuracyLevel is { } level ? string.Create(CultureInfo.InvariantCulture, $"accuracy-{level}") : "";
}

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
    private const int AssumedHidden = 1024;
    private const int ScoresAtOnce = 2; // the scores and their softmax
    private const int ActivationsAtOnce = 12; // residual, query, key, value, context, and the four times wider inner layer

    private readonly GraphSource source;
    private readonly PreparedGraph? prepared;
    private readonly TimeProvider time;
    private readonly IReadOnlyList<FileStamp> files; // as they were when the graph was opened
    private readonly ConcurrentDictionary<(OutputSet Outputs, int Threads), Opening> variants = [];
    private readonly HashSet<string> exposed;
    private readonly Dictionary<string, AttentionPart> parts;
    private readonly HashSet<string> masked; // outputs as they are called where heads are masked
    private readonly GraphVariant plain;
    private readonly Dictionary<string, int[]> outputs;
    private readonly int heads;
    private readonly CancellationTokenSource closing = new();
    private string form = ""; // which rewritten form of the file it is

    private Graph(GraphSource source, InferenceSession session, PreparedGraph? prepared, ExecutionDevice device, TimeProvider time)
    {
        this.source = source;
        this.prepared = prepared;
        this.time = time;
        files = FileStamp.Of(source.Summary);
        Device = device;
        heads = source.Config.Heads ?? AssumedHeads;
        Inputs = InputBinding.BindAll(Path.GetFileName(source.Summary.File), session.InputMetadata, source.Config, source.Given, source.IsDecoder);
        outputs = session.OutputMetadata.ToDictionary(o => o.Key, o => o.Value.IsTensor ? o.Value.Dimensions : [], StringComparer.Ordinal);
        exposed = source.Summary.Attention.Select(t => t.Output).Where(o => !outputs.ContainsKey(o)).ToHashSet(StringComparer.Ordinal);
        parts = source.Summary.AttentionParts.Where(p => !outputs.ContainsKey(p.Output)).DistinctBy(p => p.Output).ToDictionary(p => p.Output, p => p.Part, StringComparer.Ordinal);
        masked = source.Summary.HeadMasks.Count > 0 ? outputs.Keys.Select(HeadMask.Output).ToHashSet(StringComparer.Ordinal) : [];

        var ids = Inputs.First(i => i.Role == InputRole.InputIds);
        FixedBatch = ids.Shape is [> 0, ..] ? ids.Shape[0] : null;
        int? fixedLength = ids.Shape is [_, > 0] ? ids.Shape[1] : null;
        HasMask = Inputs.Any(i => i.Role is InputRole.AttentionMask or InputRole.LastPosition);
        Constraints = new BatchConstraints(source.Summary.QuantizesActivations ? 1 : FixedBatch ?? int.MaxValue, EqualLengthsOnly: !HasMask, fixedLength);
        Outputs = Comparable(session.OutputMetadata);
        plain = new GraphVariant(session, this);
        variants[(OutputSet.Plain, 1)] = new Opening(plain);
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
    public string Key => PreparedGraph.Key(source.Summary, IsRewritten ? form : source.Form);

    /// <summary>True when the keys and values of earlier tokens go into grouped-query attention, which can write new ones behind them.</summary>
    public bool WritesCache => IsRewritten || source.Summary.WritesCache;

    /// <summary>True when it is a rewritten form of the file.</summary>
    public bool IsRewritten => form.Length > 0;

    /// <summary>Why the variants do not share their weights, or null when they do.</summary>
    public string? NotShared { get; private set; }

    /// <summary>Why a graph that looks as if it could be rewritten runs as its file has it; null when it does not look so, or has been.</summary>
    public string? NotRewritten { get; private set; }

    /// <summary>Told of every variant that could not be opened.</summary>
    public Action<ModelLoadException>? OpeningFailed { get; set; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Outputs { get; }

    /// <summary>Opens a graph with its own outputs and one thread.</summary>
    /// <exception cref="ModelLoadException">The file is damaged, or its inputs cannot be fed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled. What the runtime does inside one operator goes on to that operator's end.</exception>
    public static Graph Open(GraphSource source, ExecutionDevice device, TimeProvider? time = null, CancellationToken cancellation = default)
    {
        time ??= TimeProvider.System;
        var file = source.Summary.File;
        if (source.IsDecoder)
        {
            var own = Session(source, file, null, device, 1, cancellation, source.ReadEdited());
            return Guarded(() => new Graph(source, own, null, device, time), own);
        }

        if (source.Rewrite is null || device.IsGpu)
        {
            return OpenFile(source, device, time, cancellation);
        }

        if (Rewritten(source, device, time, out var obstacle, cancellation) is { } rewritten)
        {
            return rewritten;
        }

        var graph = OpenFile(source, device, time, cancellation);
        graph.NotRewritten = obstacle;
        return graph;
    }

    private static Graph OpenFile(GraphSource source, ExecutionDevice device, TimeProvider time, CancellationToken cancellation)
    {
        var file = source.Summary.File;

        if (PreparedGraph.Find(source.Summary, device, source.Form) is { } kept)
        {
            var mapped = Session(source, kept.File, null, device, 1, cancellation);
            return Guarded(() => new Graph(source, mapped, kept, device, time), mapped);
        }

        var writing = PreparedGraph.Begin(source.Summary, device, out var whyNot, source.Form);
        InferenceSession session;
        try
        {
            session = Session(source, file, writing, device, 1, cancellation, source.ReadEdited());
        }
        catch (ModelLoadException) when (writing is not null)
        {
            // Whether the copy or the file is at fault shows without the copy.
            writing.Dispose();
            whyNot = $"no optimized copy can be written to {writing.Directory}";
            writing = null;
            session = Session(source, file, null, device, 1, cancellation, source.ReadEdited());
        }
        catch (OperationCanceledException)
        {
            writing?.Dispose();
            throw;
        }

        var graph = Guarded(() => new Graph(source, session, null, device, time) { NotShared = whyNot }, session);
        return writing is null ? graph : graph.Reopened(writing, cancellation);
    }

    /// <summary>From now on every sequence runs alone; called before the first batch.</summary>
    public void RunAlone() => Constraints = Constraints with { MaxSequences = 1 };

    /// <summary>What ONNX Runtime said about a failed run, for the person who looks after the model.</summary>
    public static string Explain(InferenceException failure) => failure.InnerException is { } inner ? NativeMessage.Short(inner) : failure.Message.TrimEnd('.');

    /// <summary>Runs rows with the graph's own outputs on one thread.</summary>
    public IBatchOutputs Run(IReadOnlyList<GraphInput> rows, IReadOnlyCollection<string> names, CancellationToken cancellation = default) => plain.Run(rows, names, cancellation);

    /// <inheritdoc/>
    public bool HasOutput(string name) => outputs.ContainsKey(name) || exposed.Contains(name) || parts.ContainsKey(name) || masked.Contains(name);

    /// <summary>The variant with the graph's own outputs and one thread.</summary>
    public IGraphVariant Plain => plain;

    /// <inheritdoc/>
    public OutputSet SetOf(IReadOnlyList<string> outputs)
    {
        var set = OutputSet.Plain;
        foreach (var output in outputs)
        {
            if (parts.ContainsKey(output))
            {
                return OutputSet.AttentionParts;
            }

            if (masked.Contains(output))
            {
                return OutputSet.MaskedHeads;
            }

            set = exposed.Contains(output) ? OutputSet.Attention : set;
        }

        return set;
    }

    /// <inheritdoc/>
    public long RunBytes(OutputSet outputs, int rows, int length)
    {
        var bytes = outputs is OutputSet.Plain or OutputSet.MaskedHeads ? 0 : exposed.Count * AttentionBytes(rows, length);
        if (outputs == OutputSet.AttentionParts)
        {
            bytes += parts.Values.Sum(part => part == AttentionPart.Scores ? AttentionBytes(rows, length) : (double)rows * length * (source.Config.HiddenSize ?? AssumedHidden) * sizeof(float));
        }

        var copies = outputs == OutputSet.MaskedHeads ? 2 : 1; // under both names
        foreach (var shape in this.outputs.Values)
        {
            bytes += copies * OutputBytes(shape, rows, length);
        }

        return (long)Math.Min(long.MaxValue / 2, bytes);
    }

    /// <inheritdoc/>
    public long PeakBytes(OutputSet outputs, int rows, int length)
    {
        var tokens = (double)rows * length;
        var scores = ScoresAtOnce * AttentionBytes(rows, length);
        var activations = tokens * (source.Config.HiddenSize ?? AssumedHidden) * ActivationsAtOnce * sizeof(float);
        return (long)Math.Min(long.MaxValue / 2, RunBytes(outputs, rows, length) + scores + activations);
    }

    /// <inheritdoc/>
    public IGraphVariant? Opened(OutputSet outputs, int threads) =>
        variants.TryGetValue((outputs, threads), out var opening) ? opening.Variant : null;

    /// <inheritdoc/>
    public Task OpenAsync(OutputSet outputs, int threads)
    {
        var key = (outputs, threads);
        while (true)
        {
            var opening = variants.GetOrAdd(key, static (key, graph) => new Opening(graph, key, 1), this);
            if (!opening.MayTryAgain)
            {
                return opening.Task;
            }

            variants.TryUpdate(key, new Opening(this, key, opening.Attempt + 1), opening);
        }
    }

    /// <summary>Closes every variant; one that is being opened is told to end, and closed when it has. Nobody may run any more.</summary>
    public void Dispose()
    {
        closing.Cancel();
        foreach (var opening in variants.Values)
        {
            opening.Task.ContinueWith(static opened => opened.Result.Dispose(), CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
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

    // A graph of the rewritten form; null where that does not open or does not give the logits of the file.
    private static Graph? Rewritten(GraphSource source, ExecutionDevice device, TimeProvider time, out string? obstacle, CancellationToken cancellation)
    {
        obstacle = null;
        var form = FormOf(source);
        if (PreparedGraph.Find(source.Summary, device, form) is { } kept)
        {
            var mapped = Session(source, kept.File, null, device, 1, cancellation);
            return Guarded(() => new Graph(source, mapped, kept, device, time) { form = form }, mapped);
        }

        PreparedGraph? writing = null;
        try
        {
            if (RotaryTables.Compute(source.Rewrite!, source.Summary.File, device) is not { } tables)
            {
                obstacle = "its positions are no tables of cosines and sines for whole heads";
                return null;
            }

            Graph Opened(PreparedGraph? write, byte[]? edited)
            {
                var session = Session(source, source.Summary.File, write, device, 1, cancellation, edited);
                return Guarded(() => new Graph(source, session, null, device, time) { form = edited is null ? "" : form }, session);
            }

            string? whyNot = null;
            Graph graph;
            using (var file = Opened(null, null))
            {
                writing = source.AccuracyLevel is null ? PreparedGraph.Begin(source.Summary, device, out whyNot, form) : null;
                graph = Opened(writing, source.Rewrite!.Apply(tables, null));
                if (!file.GivesLike(graph, cancellation))
                {
                    graph.Dispose();
                    writing?.Dispose();
                    obstacle = "as one operator it does not give the file's logits";
                    return null;
                }
            }

            if (source.AccuracyLevel is { } level)
            {
                // Other numbers are what is asked for: the form was compared at the file's own level.
                graph.Dispose();
                writing = PreparedGraph.Begin(source.Summary, device, out whyNot, form);
                graph = Opened(writing, source.Rewrite.Apply(tables, level));
            }

            graph.NotShared = whyNot;
            return writing is null ? graph : graph.Reopened(writing, cancellation);
        }
        catch (OperationCanceledException)
        {
            writing?.Dispose();
            throw;
        }
        catch (Exception e)
        {
            // Whatever cannot be rewritten is opened as it is.
            writing?.Dispose();
            obstacle = NativeMessage.Short(e).TrimEnd('.');
            return null;
        }
    }

    private static string FormOf(GraphSource source) => source.Rewrite!.Version + source.Form;

    // Whether both compute the same logits of every position of a short text of different tokens.
    private bool GivesLike(Graph other, CancellationToken cancellation)
    {
        const int Tokens = 24;
        const int Step = 7;
        const float Tolerance = 1e-4f;
        var vocabulary = source.Config.VocabularySize ?? 100;
        GraphInput[] rows = [new([.. Enumerable.Range(0, Tokens).Select(i => i * Step % vocabulary)])];
        var names = Outputs;
        try
        {
            using var mine = Run(rows, names, cancellation);
            using var others = other.Run(rows, names, cancellation);
            return names.All(name => Closeness.AreClose(mine.Row(name, 0).Data, others.Row(name, 0).Data, Tolerance));
        }
        catch (InferenceException)
        {
            return false;
        }
    }

    // The session of the file makes way for one of the copy, once both have given the same numbers.
    private Graph Reopened(PreparedGraph written, CancellationToken cancellation)
    {
        Graph? copy = null;
        try
        {
            written.Complete();
            var session = Session(source, written.File, null, Device, 1, cancellation);
            copy = Guarded(() => new Graph(source, session, written, Device, time) { form = form }, session);
            if (GivesSame(copy, cancellation))
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
        catch (OperationCanceledException)
        {
            (copy as IDisposable ?? written).Dispose();
            Dispose();
            throw;
        }

        (copy as IDisposable ?? written).Dispose();
        return this;
    }

    // Whether both compute the same for a short sequence of the first ids. A graph that does not run is left to the warm-up, which says why.
    private bool GivesSame(Graph other, CancellationToken cancellation)
    {
        GraphInput[] rows = [new([.. Enumerable.Range(0, Constraints.FixedLength ?? 8).Select(i => i % 2)])];
        var names = Outputs;
        try
        {
            using var mine = Run(rows, names, cancellation);
            using var others = other.Run(rows, names, cancellation);
            return names.All(name => mine.Row(name, 0).Data.SequenceEqual(others.Row(name, 0).Data));
        }
        catch (InferenceException)
        {
            return false;
        }
    }

    private GraphVariant OpenVariant(OutputSet set, int threads, int attempt)
    {
        ModelLoadException failure;
        try
        {
            return OpenVariant(set, threads);
        }
        catch (Exception e) when (e is ModelLoadException or IOException or UnauthorizedAccessException or OutOfMemoryException)
        {
            // What the files hold stays as it is; a file that is gone, a disk or memory that fails may come back.
            var vanished = prepared is { IsIntact: false } ? "its optimized copy is not there any more" : null;
            failure = (Passing(e, source.Summary.File) ?? vanished) is { } cause ? new ModelLoadException(cause, e) { RetryAfter = Pause(attempt) }
                : set == OutputSet.Plain ? (ModelLoadException)e
                : e.InnerException is OnnxRuntimeException ? new ModelLoadException("The runtime does not run this model with its attention probabilities as outputs. Export it with attn_implementation=eager.", e)
                : (ModelLoadException)e;
        }

        OpeningFailed?.Invoke(failure);
        throw failure;
    }

    private GraphVariant OpenVariant(OutputSet set, int threads)
    {
        var summary = source.Summary;
        var file = prepared is { IsIntact: true } ? prepared.File : Unchanged();
        if (set == OutputSet.Plain)
        {
            return new GraphVariant(Session(source, file, null, Device, threads, closing.Token, file != summary.File ? null : IsRewritten ? Rewritten(closing.Token) : source.ReadEdited()), this);
        }

        if (set == OutputSet.AttentionParts)
        {
            // An optimized copy has fused what leads to the probabilities.
            return new GraphVariant(Session(source, Unchanged(), null, Device, threads, closing.Token, source.ExposeParts() ?? throw new ModelLoadException("The graph shows nothing that leads to its attention.")), this);
        }

        if (set == OutputSet.MaskedHeads)
        {
            return new GraphVariant(Session(source, Unchanged(), null, Device, threads, closing.Token, source.ExposeHeadMask() ?? throw new ModelLoadException("The heads of the graph cannot be masked.")), this, new InputBinding(HeadMask.Input, InputRole.HeadMask, TensorElementType.Float, [-1, HeadMask.Width(summary.HeadMasks)]));
        }

        // A rewritten graph has other attention: the file is edited.
        var model = IsRewritten ? null : source.Expose(file);
        if (model is null)
        {
            (file, model) = (Unchanged(), source.Expose(summary.File) ?? throw new ModelLoadException("The graph shows no attention."));
        }

        return new GraphVariant(Session(source, file, null, Device, threads, closing.Token, model), this);
    }

    private byte[] Rewritten(CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        return source.Rewrite!.Apply(RotaryTables.Compute(source.Rewrite, source.Summary.File, Device)!, source.AccuracyLevel);
    }

    // The path of the graph's file, as long as it is the very file that was loaded: another one would answer beside it with other numbers.
    private string Unchanged()
    {
        foreach (var before in files)
        {
            if (FileStamp.Of(before.File) != before)
            {
                throw new FileNotFoundException(File.Exists(before.File)
                    ? $"{Path.GetFileName(before.File)} has been changed since the model was loaded; load the model again"
                    : $"{before.File} is not there any more");
            }
        }

        return source.Summary.File;
    }

    private static TimeSpan Pause(int attempt) => TimeSpan.FromSeconds(Math.Min(60, 1 << Math.Min(attempt - 1, 6)));

    // The cause of a failure that may pass, or null.
    private static string? Passing(Exception failure, string file)
    {
        for (var e = failure; e is not null; e = e.InnerException)
        {
            if (e is IOException or UnauthorizedAccessException)
            {
                return e.Message;
            }

            if (NativeMessage.IsOutOfMemory(e))
            {
                return "there is not enough memory to open it";
            }
        }

        try
        {
            using var handle = File.OpenHandle(file);
            var buffer = new byte[1 << 16];
            for (var at = 0L; RandomAccess.Read(handle, buffer, at) is > 0 and var read; at += read)
            {
                // Whether the disk gives it shows when it is read.
            }

            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e.Message;
        }
    }

    /// <summary>Bytes of one layer's attention <c>[rows, heads, length, length]</c>.</summary>
    private double AttentionBytes(int rows, int length) => (double)rows * heads * length * length * sizeof(float);

    private double OutputBytes(int[] shape, int rows, int length)
    {
        if (shape.Length == 0)
        {
            return AttentionBytes(rows, length); // no shape at all: as if it were attention
        }

        var elements = 1.0; // no product of sizes that a file declares may overflow
        for (var axis = 0; axis < shape.Length; axis++)
        {
            // Of four axes the second is the heads: attention [batch, heads, S, S].
            elements *= shape[axis] >= 0 ? shape[axis] : axis == 0 ? rows : axis == 1 && shape.Length == 4 ? heads : length;
        }

        return elements * sizeof(float);
    }

    // A session of a file, or of its edited bytes (external data is then still found from the file's folder). An optimized copy is taken as it is.
    private static InferenceSession Session(GraphSource source, string file, PreparedGraph? write, ExecutionDevice device, int threads, CancellationToken cancellation, byte[]? edited = null)
    {
        cancellation.ThrowIfCancellationRequested();
        var original = source.Summary.File;
        using var options = device.CreateSessionOptions(threads, optimize: file == original);
        options.EnableMemoryPattern = !source.Summary.Inputs.Any(input => input.Name.StartsWith("past", StringComparison.Ordinal)); // one would be kept for every length of a cache
        using var cancelled = cancellation.UnsafeRegister(static o => ((SessionOptions)o!).SetLoadCancellationFlag(true), options);
        try
        {
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
            cancellation.ThrowIfCancellationRequested();
            throw Passing(e, original) is { } cause
                ? new ModelLoadException($"{Path.GetFileName(original)} cannot be read: {NativeMessage.Short(cause)}. Load the model again when it can.", e) { RetryAfter = Pause(1) }
                : new ModelLoadException($"{Path.GetFileName(original)}: ONNX Runtime cannot load the graph: {NativeMessage.Short(e)}. Download or export the file again.", e);
        }
        finally
        {
            FreeMemory.Return();
        }
    }

    /// <summary>A file as it was at a moment; zero bytes where it was absent.</summary>
    private sealed record FileStamp(string File, long Bytes, DateTime Written)
    {
        public static FileStamp Of(string file) => new FileInfo(file) is { Exists: true } info ? new FileStamp(file, info.Length, info.LastWriteTimeUtc) : new FileStamp(file, 0, default);

        public static IReadOnlyList<FileStamp> Of(GraphSummary summary) =>
            [Of(summary.File), .. summary.ExternalData.Select(name => Of(Path.Combine(Path.GetDirectoryName(summary.File)!, name)))];
    }

    /// <summary>The one attempt to open a variant that everybody waits for; after one that may go better another time the next takes its place.</summary>
    private sealed class Opening
    {
        private readonly Lazy<Task<GraphVariant>> task;
        private readonly TimeProvider time;
        private long failedAt;

        public Opening(GraphVariant open)
        {
            task = new Lazy<Task<GraphVariant>>(System.Threading.Tasks.Task.FromResult(open));
            time = TimeProvider.System;
        }

        public Opening(Graph graph, (OutputSet Outputs, int Threads) key, int attempt)
        {
            time = graph.time;
            Attempt = attempt;
            task = new Lazy<Task<GraphVariant>>(() => System.Threading.Tasks.Task.Factory.StartNew(
                () =>
                {
                    try
                    {
                        return graph.OpenVariant(key.Outputs, key.Threads, attempt);
                    }
                    catch
                    {
                        Volatile.Write(ref failedAt, time.GetTimestamp());
                        throw;
                    }
                },
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default));
        }

        /// <summary>Which attempt it is, from 1.</summary>
        public int Attempt { get; }

        /// <summary>The variant, or its failure; starts the attempt.</summary>
        public Task<GraphVariant> Task => task.Value;

        /// <summary>The variant when it is open, else null.</summary>
        public GraphVariant? Variant => task is { IsValueCreated: true, Value.IsCompletedSuccessfully: true } ? task.Value.Result : null;

        /// <summary>True when the attempt failed for a cause that may have passed, and long enough ago.</summary>
        public bool MayTryAgain =>
            task is { IsValueCreated: true, Value.Exception.InnerException: ModelLoadException { RetryAfter: { } pause } } && time.GetElapsedTime(Volatile.Read(ref failedAt)) >= pause;
    }
}
