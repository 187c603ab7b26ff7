using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using InferenceServer.Engine.Diagnostics;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Execution;

/// <summary>Reads the logits <c>[vocabulary]</c> after the last token of a row; they are valid inside the call only.</summary>
internal delegate void LogitsReader(int row, ReadOnlySpan<float> logits);

/// <summary>
/// A model that says what comes after the tokens of sequences, run by run: new tokens go in with the <see cref="KvCache"/> of those before, logits come out, and the
/// cache has grown. Where the graph takes no cache, every run computes the sequences as a whole. Thread-safe; a cache is used by one thread at a time.
/// </summary>
internal sealed class Decoder
{
    private readonly Graph first;
    private readonly Graph next;
    private readonly string logits;
    private readonly string[] outputNames;

    /// <summary>A decoder of one graph, or of one for the first run and one for those with a past.</summary>
    /// <param name="first">Runs without a past.</param>
    /// <param name="next">Runs with one; null: the same graph, or none where it takes no past.</param>
    /// <param name="logits">The output with the logits.</param>
    public Decoder(Graph first, Graph? next, string logits)
    {
        this.first = first;
        this.next = next ?? first;
        this.logits = logits;
        (Tensors, SourceTensors) = TensorsOf(first, this.next);
        HasCache = Tensors.Count > 0;
        outputNames = [.. Tensors.Select(tensor => tensor.Output)];
        Padding = !IsBatched ? CachePadding.None : HasCache ? CachePadding.None : CachePadding.Right;
    }

    /// <summary>The output with the logits.</summary>
    public string LogitsOutput => logits;

    /// <summary>The tensors of a cache.</summary>
    public IReadOnlyList<CacheTensor> Tensors { get; }

    /// <summary>The tensors of a source's keys and values, which the first run gives.</summary>
    public IReadOnlyList<CacheTensor> SourceTensors { get; }

    /// <summary>False when the graph takes no past.</summary>
    public bool HasCache { get; private set; }

    /// <summary>How sequences of different lengths share a run.</summary>
    public CachePadding Padding { get; set; }

    /// <summary>Whether several new tokens may follow a past: a prompt in chunks, a prompt whose beginning is known.</summary>
    public bool TakesChunks { get; set; }

    /// <summary>Whether the graph writes new keys and values into the tensors of the old ones, behind them.</summary>
    public bool WritesInPlace { get; set; }

    /// <summary>Whether it may: one graph, whose cache is grouped-query attention's.</summary>
    public bool MayWriteInPlace => HasCache && first == next && first.WritesCache && SourceTensors.Count == 0;

    /// <summary>Most tokens of a sequence that the graph takes in one run; null: any number.</summary>
    public int? FixedLength => first.Constraints.FixedLength ?? next.Constraints.FixedLength;

    /// <summary>Bytes of a cached token.</summary>
    public long TokenBytes => Tensors.Sum(tensor => tensor.TokenBytes);

    /// <summary>Whether a run may have several rows at all.</summary>
    public bool IsBatched => first is { FixedBatch: null, Constraints: { MaxSequences: > 1, EqualLengthsOnly: false } } && next.FixedBatch is null && next.Constraints.MaxSequences > 1;

    /// <summary>Whether several rows of equal length may share a run.</summary>
    public bool TakesRows => next.FixedBatch is null && next.Constraints.MaxSequences > 1;

    /// <summary>Whether rows of different lengths can be told apart by their positions and a mask.</summary>
    public bool HasPositions => Has(InputRole.PositionIds) && Has(InputRole.AttentionMask);

    /// <summary>Whether the graph is told which positions are padding.</summary>
    public bool HasMask => Has(InputRole.AttentionMask) || Has(InputRole.LastPosition);

    /// <summary>Computes every sequence as a whole from now on; before the first cache is made.</summary>
    public void GiveUpCache()
    {
        HasCache = false;
        Padding = IsBatched ? CachePadding.Right : CachePadding.None;
    }

    /// <summary>True for the first run of a cache.</summary>
    public bool IsFirst(KvCache cache) => !HasCache || cache.Length == 0;

    /// <summary>The variant of one thread for the next run of a cache.</summary>
    public IGraphVariant PlainOf(KvCache cache) => (IsFirst(cache) ? first : next).Plain;

    /// <summary>Runs the tokens <paramref name="ids"/> <c>[rows, count]</c> after those of the cache, which grows by them. When it fails the cache is as it was.</summary>
    /// <param name="variant">A variant of the graph that <see cref="IsFirst"/> means.</param>
    /// <param name="cache">The cache.</param>
    /// <param name="ids">New tokens, <paramref name="count"/> a row.</param>
    /// <param name="count">New tokens of each row.</param>
    /// <param name="read">Reads the logits after the last of them, row by row; null: they are not wanted.</param>
    /// <param name="terminate">Ends the run.</param>
    /// <exception cref="InferenceException">The graph refused the input, or failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="terminate"/> fired.</exception>
    public void Run(IGraphVariant variant, KvCache cache, ReadOnlySpan<int> ids, int count, LogitsReader? read, CancellationToken terminate)
    {
        var graph = IsFirst(cache) ? first : next;
        if (!HasCache)
        {
            RunWhole((GraphVariant)variant, cache, ids, count, read, terminate);
            return;
        }

        if (WritesInPlace)
        {
            RunInPlace((GraphVariant)variant, cache, ids, count, read, terminate);
            return;
        }

        using var inputs = new DecoderTensors(graph, this, cache, ids, count);
        var fromFirst = cache.Length == 0;
        List<string> names = [logits, .. Tensors.Select(tensor => tensor.Output)];
        if (fromFirst)
        {
            names.AddRange(SourceTensors.Select(tensor => tensor.Output));
        }

        var outputs = ((GraphVariant)variant).Run(inputs.Values, names, shrink: false, terminate);
        try
        {
            if (read is not null)
            {
                Read(outputs[0], cache.Rows, _ => count - 1, read);
            }
        }
        catch
        {
            outputs.Dispose();
            throw;
        }

        outputs[0].Dispose();
        cache.Grow(count, [.. outputs.Skip(1).Take(Tensors.Count)], fromFirst ? [.. outputs.Skip(1 + Tensors.Count)] : null);
    }

    // The cache's tensors go in and come out: the operator sees that they are the same.
    private void RunInPlace(GraphVariant variant, KvCache cache, ReadOnlySpan<int> ids, int count, LogitsReader? read, CancellationToken terminate)
    {
        cache.Reserve(count);
        using var inputs = new DecoderTensors(first, this, cache, ids, count);
        using var output = variant.Run(inputs.Values, logits, cache.Self, outputNames, terminate);
        if (read is not null)
        {
            Read(output, cache.Rows, _ => count - 1, read);
        }

        cache.Written(count);
    }

    private void RunWhole(GraphVariant variant, KvCache cache, ReadOnlySpan<int> ids, int count, LogitsReader? read, CancellationToken terminate)
    {
        var rows = new int[cache.Rows][];
        for (var row = 0; row < rows.Length; row++)
        {
            rows[row] = [.. cache.TokensOf(row), .. ids.Slice(row * count, count)];
        }

        if (read is not null)
        {
            using var inputs = new DecoderTensors(first, this, cache, rows);
            using var outputs = variant.Run(inputs.Values, [logits], shrink: false, terminate);
            Read(outputs[0], rows.Length, row => rows[row].Length - 1, read);
        }

        for (var row = 0; row < rows.Length; row++)
        {
            cache.TokensOf(row).AddRange(ids.Slice(row * count, count));
        }

        cache.Grow(count, []);
    }

    // [rows, positions, vocabulary], or of the last position alone with or without its axis.
    private static void Read(OrtValue output, int rows, Func<int, int> last, LogitsReader read)
    {
        var info = output.GetTensorTypeAndShape();
        var shape = info.Shape;
        var (positions, size) = shape.Length == 2 ? (1, (int)shape[1]) : ((int)shape[1], (int)shape[2]);
        var widened = info.ElementDataType is TensorElementType.Float16 or TensorElementType.BFloat16 ? new float[size] : [];
        for (var row = 0; row < rows; row++)
        {
            var at = ((row * positions) + Math.Min(last(row), positions - 1)) * size;
            switch (info.ElementDataType)
            {
                case TensorElementType.Float:
                    read(row, output.GetTensorDataAsSpan<float>().Slice(at, size));
                    break;
                case TensorElementType.Float16:
                    TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<Float16, Half>(output.GetTensorDataAsSpan<Float16>()).Slice(at, size), widened);
                    read(row, widened);
                    break;
                case TensorElementType.BFloat16:
                    var halves = MemoryMarshal.Cast<BFloat16, ushort>(output.GetTensorDataAsSpan<BFloat16>()).Slice(at, size);
                    for (var i = 0; i < size; i++)
                    {
                        widened[i] = BitConverter.UInt32BitsToSingle((uint)halves[i] << 16);
                    }

                    read(row, widened);
                    break;
                default:
                    throw new InferenceException(ErrorCode.Internal, $"The logits have the element type {info.ElementDataType}, which is not read.");
            }
        }
    }

    private bool Has(InputRole role) => next.Inputs.Any(input => input.Role == role);

    // What goes in as a past and comes out longer; every past must have its output, else the graph has no cache that can be used.
    private static (IReadOnlyList<CacheTensor> Self, IReadOnlyList<CacheTensor> Source) TensorsOf(Graph first, Graph next)
    {
        List<CacheTensor> self = [];
        List<CacheTensor> source = [];
        foreach (var input in next.Inputs.Where(input => input.Role is InputRole.Past or InputRole.EncoderPast))
        {
            var output = ((string[])[input.Name.Replace("past_key_values", "present", StringComparison.Ordinal), input.Name.Replace("past", "present", StringComparison.Ordinal)])
                .FirstOrDefault(name => name != input.Name && first.HasOutput(name));
            var own = input.Role == InputRole.Past;
            if (output is null || (own && !next.HasOutput(output)))
            {
                return ([], []);
            }

            var (batch, past) = input.Shape.Length switch { 3 => (0, 1), 5 => (1, 3), _ => (0, 2) };
            (own ? self : source).Add(new CacheTensor(input.Name, output, input.Type, input.Shape, batch, past));
        }

        return (self, source);
    }
}
