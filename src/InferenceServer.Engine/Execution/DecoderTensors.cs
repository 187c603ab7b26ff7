using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Execution;

/// <summary>The input tensors of a decoder's run, in the order of its graph's inputs, filled by role. Those of the cache stay the cache's.</summary>
internal sealed class DecoderTensors : IDisposable
{
    private readonly Graph graph;
    private readonly KvCache cache;
    private readonly int rows;
    private readonly int count; // new tokens of each row, padding included
    private readonly int past; // positions before them
    private readonly int[][] ids;
    private readonly CachePadding padding;
    private readonly OrtValue[] values;
    private readonly List<OrtValue> own = [];

    /// <summary>For new tokens after a cache.</summary>
    public DecoderTensors(Graph graph, Decoder decoder, KvCache cache, ReadOnlySpan<int> ids, int count)
        : this(graph, decoder, cache, Rows(ids, count), cache.Length)
    {
    }

    /// <summary>For whole sequences without a cache, padded at the right.</summary>
    public DecoderTensors(Graph graph, Decoder decoder, KvCache cache, int[][] sequences)
        : this(graph, decoder, cache, sequences, 0)
    {
    }

    private DecoderTensors(Graph graph, Decoder decoder, KvCache cache, int[][] ids, int past)
    {
        this.graph = graph;
        this.cache = cache;
        this.ids = ids;
        this.past = past;
        rows = ids.Length;
        count = graph.Constraints.FixedLength ?? ids.Max(row => row.Length);
        padding = decoder.Padding;
        values = new OrtValue[graph.Inputs.Count];
        try
        {
            var (self, source) = (0, 0);
            for (var i = 0; i < values.Length; i++)
            {
                var input = graph.Inputs[i];
                values[i] = input.Role switch
                {
                    InputRole.Past when cache.Self.Count > 0 => cache.Self[self++],
                    InputRole.EncoderPast when cache.Source.Count > 0 => cache.Source[source++],
                    _ => Made(input),
                };
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The tensors.</summary>
    public IReadOnlyList<OrtValue> Values => values;

    /// <inheritdoc/>
    public void Dispose() => own.ForEach(static value => value.Dispose());

    private static int[][] Rows(ReadOnlySpan<int> ids, int count)
    {
        var rows = new int[ids.Length / count][];
        for (var row = 0; row < rows.Length; row++)
        {
            rows[row] = ids.Slice(row * count, count).ToArray();
        }

        return rows;
    }

    private OrtValue Made(InputBinding input)
    {
        if (input.Role is InputRole.Past or InputRole.EncoderPast)
        {
            var empty = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, input.Type, Array.ConvertAll(input.Shape, d => d < 0 ? (long)rows : d));
            own.Add(empty);
            return empty;
        }

        if (input.Role == InputRole.EncoderStates)
        {
            return States(input);
        }

        return input.Type switch
        {
            TensorElementType.Int64 => Filled<long>(input, static v => v),
            TensorElementType.Int32 => Filled<int>(input, static v => v),
            TensorElementType.Float => Filled<float>(input, static v => v),
            _ => Filled<bool>(input, static v => v != 0),
        };
    }

    // Every row reads the same source.
    private OrtValue States(InputBinding input)
    {
        var encoder = cache.Encoder!;
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, input.Type, [rows, encoder.Length, encoder.Width]);
        own.Add(value);
        if (input.Type == TensorElementType.Float16)
        {
            var half = value.GetTensorMutableDataAsSpan<Float16>();
            for (var i = 0; i < half.Length; i++)
            {
                half[i] = (Float16)encoder.Data[i % encoder.Data.Length];
            }

            return value;
        }

        var to = value.GetTensorMutableDataAsSpan<float>();
        for (var row = 0; row < rows; row++)
        {
            encoder.Data.CopyTo(to[(row * encoder.Data.Length)..]);
        }

        return value;
    }

    private OrtValue Filled<T>(InputBinding input, Func<int, T> convert)
        where T : unmanaged
    {
        var total = past + count;
        long[] shape = input.Role switch
        {
            InputRole.Given => [.. input.Shape.Select((size, axis) => size >= 0 ? size : axis switch { 0 => rows, 1 => (long)count, _ => 1 })],
            InputRole.CachePosition => [count],
            InputRole.LastPosition => [rows],
            InputRole.UseCacheBranch or InputRole.TotalLength or InputRole.PastLength or InputRole.LogitsToKeep => input.Shape.Length == 0 && input.Role != InputRole.UseCacheBranch ? [] : [1],
            InputRole.AttentionMask => [rows, total],
            InputRole.EncoderMask => [rows, cache.Encoder!.Length],
            _ => [rows, count],
        };
        var size = (int)shape.Aggregate(1L, (a, b) => a * b);
        var data = new T[size];
        switch (input.Role)
        {
            case InputRole.Given:
                Array.Fill(data, convert(input.Value));
                break;
            case InputRole.CachePosition:
                Count(data, convert, past);
                break;
            case InputRole.LastPosition:
                for (var row = 0; row < rows; row++)
                {
                    data[row] = convert(LengthOf(row) - 1);
                }

                break;
            case InputRole.TotalLength:
                data[0] = convert(total);
                break;
            case InputRole.PastLength:
                data[0] = convert(past);
                break;
            case InputRole.LogitsToKeep:
                data[0] = convert(past > 0 || rows == 1 ? 1 : 0);
                break;
            case InputRole.UseCacheBranch:
                data[0] = convert(past > 0 ? 1 : 0);
                break;
            case InputRole.EncoderMask:
                Array.Fill(data, convert(1));
                break;
            case InputRole.AttentionMask:
                for (var row = 0; row < rows; row++)
                {
                    var length = LengthOf(row);
                    data.AsSpan((row * total) + (padding == CachePadding.Right ? 0 : past + ids[row].Length - length), length).Fill(convert(1));
                }

                break;
            case InputRole.PositionIds:
                for (var row = 0; row < rows; row++)
                {
                    Count(data.AsSpan(row * count, count), convert, graph.FirstPosition + LengthOf(row) - ids[row].Length);
                }

                break;
            case InputRole.InputIds:
                for (var row = 0; row < rows; row++)
                {
                    var to = data.AsSpan(row * count, count);
                    to[ids[row].Length..].Fill(convert(graph.PadId));
                    for (var i = 0; i < ids[row].Length; i++)
                    {
                        to[i] = convert(ids[row][i]);
                    }
                }

                break;
            default:
                break; // segments: all 0
        }

        var value = OrtValue.CreateTensorValueFromMemory(data, shape);
        own.Add(value);
        return value;
    }

    // Tokens of a row, the new ones included.
    private int LengthOf(int row) => (past > 0 ? cache.Lengths[row] : 0) + ids[row].Length;

    private static void Count<T>(Span<T> data, Func<int, T> convert, int first)
    {
        for (var i = 0; i < data.Length; i++)
        {
            data[i] = convert(first + i);
        }
    }
}
