using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Execution;

/// <summary>On which side sequences of different lengths are padded where they share a cache.</summary>
internal enum CachePadding
{
    /// <summary>None: the graph is right for sequences of one length only, so each runs alone.</summary>
    None,

    /// <summary>At the left: what is new of all rows stands at one place.</summary>
    Left,

    /// <summary>At the right: the graph finds each row's end by itself (grouped-query attention), or computes every sequence as a whole.</summary>
    Right,
}

/// <summary>One row of a cache, or its first tokens.</summary>
/// <param name="Cache">The cache.</param>
/// <param name="Row">The row.</param>
/// <param name="Length">How many of its tokens; null: all.</param>
internal readonly record struct CacheRow(KvCache Cache, int Row, int? Length = null);

/// <summary>A tensor of a cache as the graph has it.</summary>
/// <param name="Input">The input that it goes in by.</param>
/// <param name="Output">The output that it comes out by, longer by the new tokens.</param>
/// <param name="Type">Element type.</param>
/// <param name="Shape">Shape with 0 for the past and -1 for the batch.</param>
/// <param name="Batch">Axis of the batch.</param>
/// <param name="Past">Axis of the past.</param>
internal sealed record CacheTensor(string Input, string Output, TensorElementType Type, int[] Shape, int Batch, int Past)
{
    /// <summary>Bytes of an element.</summary>
    public int ElementBytes => Type switch
    {
        TensorElementType.Float => 4,
        TensorElementType.Double => 8,
        TensorElementType.Int8 or TensorElementType.UInt8 => 1,
        _ => 2,
    };

    /// <summary>Bytes of one token of one row.</summary>
    public long TokenBytes => Shape.Where((_, axis) => axis != Batch && axis != Past).Aggregate((long)ElementBytes, (bytes, size) => bytes * size);

    /// <summary>The shape for so many rows and positions.</summary>
    public long[] ShapeOf(int rows, int length)
    {
        var shape = Array.ConvertAll(Shape, size => (long)size);
        shape[Batch] = rows;
        shape[Past] = length;
        return shape;
    }
}

/// <summary>
/// Keys and values of the tokens that some sequences have had, a row a sequence, in native memory: what a decoder's run gives is handed to the next run as it is. Rows
/// are copied (in native memory, once) only where the membership changes. Where the graph writes into the tensors that it is given, they have room for more than there is,
/// and nothing is copied from run to run. A decoder without a cache keeps the tokens themselves. Used by one thread at a time.
/// </summary>
internal sealed class KvCache : IDisposable
{
    private const int PositionsAtOnce = 64; // by which tensors that runs write into grow

    private readonly Decoder decoder;
    private readonly int[] lengths;
    private readonly List<int>[]? tokens; // of a decoder without a cache
    private Block self = Block.Empty; // by the decoder's cache tensors
    private Block source = Block.Empty; // keys and values of the source, by the decoder's source tensors

    private KvCache(Decoder decoder, int[] lengths, EncoderStates? encoder)
    {
        this.decoder = decoder;
        this.lengths = lengths;
        Encoder = encoder;
        tokens = decoder.HasCache ? null : [.. lengths.Select(_ => new List<int>())];
    }

    /// <summary>A cache of rows without tokens.</summary>
    /// <param name="decoder">Whose.</param>
    /// <param name="rows">How many rows.</param>
    /// <param name="encoder">What the decoder of an encoder-decoder reads, the same for every row; else null.</param>
    public KvCache(Decoder decoder, int rows, EncoderStates? encoder = null)
        : this(decoder, new int[rows], encoder)
    {
    }

    /// <summary>Number of sequences.</summary>
    public int Rows => lengths.Length;

    /// <summary>Tokens of each.</summary>
    public IReadOnlyList<int> Lengths => lengths;

    /// <summary>Positions of a row, padding included: tokens of the longest.</summary>
    public int Length { get; private set; }

    /// <summary>What it takes of a budget of tokens.</summary>
    public long Tokens => (long)Rows * Length;

    /// <summary>What the decoder of an encoder-decoder reads.</summary>
    public EncoderStates? Encoder { get; }

    /// <summary>The tensors of the own tokens; empty before the first run.</summary>
    public IReadOnlyList<OrtValue> Self => self.Values;

    /// <summary>The tensors of the source; empty before the first run.</summary>
    public IReadOnlyList<OrtValue> Source => source.Values;

    /// <summary>The tokens of a row, of a decoder without a cache.</summary>
    public List<int> TokensOf(int row) => tokens![row];

    /// <summary>Makes room for <paramref name="count"/> more tokens of each row in tensors that are this cache's alone: a run may write there.</summary>
    public void Reserve(int count)
    {
        if (!self.IsShared && self.Values.Length > 0 && Length + count <= self.Positions)
        {
            return;
        }

        var positions = Rounded(Length + count);
        var larger = new Block(new OrtValue[decoder.Tensors.Count], positions);
        CacheRow[] rows = [.. Enumerable.Range(0, Rows).Select(row => new CacheRow(this, row))];
        try
        {
            for (var t = 0; t < larger.Values.Length; t++)
            {
                larger.Values[t] = Copy(decoder, decoder.Tensors[t], rows, this, positions, t);
            }
        }
        catch
        {
            larger.Release();
            throw;
        }

        self.Release();
        self = larger;
    }

    /// <summary>Counts <paramref name="count"/> new tokens of each row, which a run wrote into the tensors.</summary>
    public void Written(int count) => Grown(count);

    /// <summary>Takes over what a run gave for <paramref name="count"/> new tokens of each row.</summary>
    public void Grow(int count, OrtValue[] values, OrtValue[]? ofSource = null)
    {
        self.Release();
        self = new Block(values, Length + count);
        if (ofSource is not null)
        {
            source.Release();
            source = new Block(ofSource, 0);
        }

        Grown(count);
    }

    private void Grown(int count)
    {
        for (var row = 0; row < lengths.Length; row++)
        {
            lengths[row] += count;
        }

        Length += count;
    }

    /// <summary>A second cache of the same tokens, for whom no memory is copied: what one of them goes on to does not show in the other.</summary>
    public KvCache Share()
    {
        var shared = new KvCache(decoder, [.. lengths], Encoder) { Length = Length, self = self.Shared(), source = source.Shared() };
        for (var row = 0; tokens is not null && row < tokens.Length; row++)
        {
            shared.tokens![row].AddRange(tokens[row]);
        }

        return shared;
    }

    /// <summary>A cache of its own with copies of these rows, padded to the longest; all are of one decoder and, where it reads one, of one source.</summary>
    public static KvCache Gather(IReadOnlyList<CacheRow> rows)
    {
        var decoder = rows[0].Cache.decoder;
        var encoder = rows[0].Cache.Encoder;
        int[] lengths = [.. rows.Select(row => row.Length ?? row.Cache.lengths[row.Row])];
        var gathered = new KvCache(decoder, lengths, encoder) { Length = lengths.Max() };
        if (gathered.tokens is { } lists)
        {
            for (var i = 0; i < lists.Length; i++)
            {
                lists[i].AddRange(rows[i].Cache.tokens![rows[i].Row].Take(lengths[i]));
            }

            return gathered;
        }

        try
        {
            if (gathered.Length > 0)
            {
                gathered.self = new Block(new OrtValue[decoder.Tensors.Count], decoder.WritesInPlace ? Rounded(gathered.Length + 1) : gathered.Length);
                for (var t = 0; t < decoder.Tensors.Count; t++)
                {
                    gathered.self.Values[t] = Copy(decoder, decoder.Tensors[t], rows, gathered, gathered.self.Positions, t);
                }
            }

            if (rows[0].Cache.Source.Count > 0)
            {
                gathered.source = new Block(new OrtValue[decoder.SourceTensors.Count], 0);
                for (var t = 0; t < decoder.SourceTensors.Count; t++)
                {
                    gathered.source.Values[t] = CopySource(decoder.SourceTensors[t], rows, t);
                }
            }

            return gathered;
        }
        catch
        {
            gathered.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        self.Release();
        source.Release();
        self = Block.Empty;
        source = Block.Empty;
    }

    private static int Rounded(int positions) => checked((positions + PositionsAtOnce - 1) / PositionsAtOnce * PositionsAtOnce);

    private static OrtValue Copy(Decoder decoder, CacheTensor tensor, IReadOnlyList<CacheRow> rows, KvCache to, int positions, int index)
    {
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, tensor.Type, tensor.ShapeOf(rows.Count, positions));
        var target = value.GetTensorMutableRawData();
        if (to.lengths.Any(length => length < positions))
        {
            target.Clear(); // a product with what happens to lie there may be no number
        }

        var left = decoder.Padding != CachePadding.Right;
        for (var row = 0; row < rows.Count; row++)
        {
            var from = rows[row].Cache;
            if (to.lengths[row] > 0)
            {
                var fromOffset = left ? from.Length - from.lengths[rows[row].Row] : 0;
                var toOffset = left ? to.Length - to.lengths[row] : 0;
                CopyRow(tensor, from.self.Values[index].GetTensorMutableRawData(), (from.Rows, rows[row].Row, from.self.Positions, fromOffset), target, (rows.Count, row, positions, toOffset), to.lengths[row]);
            }
        }

        return value;
    }

    private static OrtValue CopySource(CacheTensor tensor, IReadOnlyList<CacheRow> rows, int index)
    {
        var length = (int)rows[0].Cache.Source[index].GetTensorTypeAndShape().Shape[tensor.Past];
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, tensor.Type, tensor.ShapeOf(rows.Count, length));
        var target = value.GetTensorMutableRawData();
        for (var row = 0; row < rows.Count; row++)
        {
            var from = rows[row].Cache;
            CopyRow(tensor, from.source.Values[index].GetTensorMutableRawData(), (from.Rows, rows[row].Row, length, 0), target, (rows.Count, row, length, 0), length);
        }

        return value;
    }

    // [.., batch, .., past, ..]: a row's tokens lie together within what stands before the axis of the past.
    private static void CopyRow(CacheTensor tensor, Span<byte> source, (int Rows, int Row, int Length, int Offset) from, Span<byte> target, (int Rows, int Row, int Length, int Offset) to, int length)
    {
        int Product(int begin, int end) => tensor.Shape[begin..end].Aggregate(1, (a, b) => a * b);
        var before = Product(0, tensor.Batch);
        var between = Product(tensor.Batch + 1, tensor.Past);
        var bytes = Product(tensor.Past + 1, tensor.Shape.Length) * tensor.ElementBytes;
        for (var outer = 0; outer < before; outer++)
        {
            for (var middle = 0; middle < between; middle++)
            {
                var at = (((((outer * from.Rows) + from.Row) * between) + middle) * from.Length) + from.Offset;
                var into = (((((outer * to.Rows) + to.Row) * between) + middle) * to.Length) + to.Offset;
                source.Slice(at * bytes, length * bytes).CopyTo(target[(into * bytes)..]);
            }
        }
    }

    // Tensors that several caches may show; the last that lets go releases them.
    private sealed class Block(OrtValue[] values, int positions)
    {
        private int others;

        public static Block Empty { get; } = new([], 0);

        public OrtValue[] Values { get; } = values;

        /// <summary>Positions that the tensors have room for.</summary>
        public int Positions { get; } = positions;

        public bool IsShared => Volatile.Read(ref others) > 0;

        public Block Shared()
        {
            Interlocked.Increment(ref others);
            return this;
        }

        public void Release()
        {
            if (Interlocked.Decrement(ref others) >= 0)
            {
                return;
            }

            foreach (var value in Values)
            {
                value?.Dispose();
            }
        }
    }
}

/// <summary>What an encoder says of a source, for the decoder beside it.</summary>
/// <param name="Data">States <c>[source, hidden]</c>.</param>
/// <param name="Length">Tokens of the source.</param>
internal sealed record EncoderStates(float[] Data, int Length)
{
    /// <summary>Size of a state.</summary>
    public int Width => Data.Length / Length;
}
