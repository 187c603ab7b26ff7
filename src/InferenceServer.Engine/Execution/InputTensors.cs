using System.Buffers;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Execution;

/// <summary>The input tensors of one run, in the order of the session's inputs, filled by role in pooled buffers.</summary>
internal sealed class InputTensors : IDisposable
{
    private readonly Graph graph;
    private readonly IReadOnlyList<GraphInput> given;
    private readonly OrtValue[] values;
    private readonly List<IDisposable> buffers = [];
    private int filled;

    /// <summary>Fills the tensors of <paramref name="inputs"/> for rows padded to <paramref name="length"/>. A graph with a fixed batch gets its missing rows from the first one.</summary>
    public InputTensors(Graph graph, IReadOnlyList<InputBinding> inputs, IReadOnlyList<GraphInput> rows, int length)
    {
        this.graph = graph;
        given = rows;
        Rows = graph.FixedBatch ?? rows.Count;
        Length = length;
        Source = rows.Max(row => row.Encoder?.Length ?? length);
        values = new OrtValue[inputs.Count];
        try
        {
            foreach (var input in inputs)
            {
                values[filled] = Tensor(input);
                filled++;
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Rows of the batch.</summary>
    public int Rows { get; }

    /// <summary>Padded length of a row.</summary>
    public int Length { get; }

    /// <summary>Tokens of the longest source, of a decoder that reads one.</summary>
    public int Source { get; }

    /// <summary>The tensors.</summary>
    public IReadOnlyList<OrtValue> Values => values;

    /// <inheritdoc/>
    public void Dispose()
    {
        for (var i = 0; i < filled; i++)
        {
            values[i].Dispose();
        }

        buffers.ForEach(static b => b.Dispose());
    }

    private GraphInput Row(int row) => given[row < given.Count ? row : 0];

    private OrtValue Tensor(InputBinding input)
    {
        if (input.Role == InputRole.HeadMask)
        {
            return Masks(input);
        }

        if (input.Role == InputRole.EncoderStates && given[0].Encoder is not null)
        {
            return States(input);
        }

        if (input.Role is InputRole.Past or InputRole.EncoderPast or InputRole.EncoderStates)
        {
            // Of no use here but to run at all: a decoder's own runs feed them.
            var shape = Array.ConvertAll(input.Shape, d => d < 0 ? (long)Rows : d);
            return OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, input.Type, shape);
        }

        return input.Type switch
        {
            TensorElementType.Int64 => Filled<long>(input, static v => v),
            TensorElementType.Int32 => Filled<int>(input, static v => v),
            TensorElementType.Float => Filled<float>(input, static v => v),
            _ => Filled<bool>(input, static v => v != 0),
        };
    }

    private OrtValue Masks(InputBinding input)
    {
        var width = input.Shape[1];
        var numbers = new float[Rows * width];
        for (var row = 0; row < Rows; row++)
        {
            Row(row).HeadMask!.CopyTo(numbers.AsSpan(row * width, width)); // every row of such a run has one
        }

        return OrtValue.CreateTensorValueFromMemory(numbers, [Rows, width]);
    }

    // [batch, source, hidden], padded at the right.
    private OrtValue States(InputBinding input)
    {
        var width = given[0].Encoder!.Width;
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, input.Type, [Rows, Source, width]);
        value.GetTensorMutableRawData().Clear();
        for (var row = 0; row < Rows; row++)
        {
            var states = Row(row).Encoder!.Data;
            if (input.Type == TensorElementType.Float16)
            {
                TensorPrimitives.ConvertToHalf(states, MemoryMarshal.Cast<Float16, Half>(value.GetTensorMutableDataAsSpan<Float16>()).Slice(row * Source * width, states.Length));
            }
            else
            {
                states.CopyTo(value.GetTensorMutableDataAsSpan<float>()[(row * Source * width)..]);
            }
        }

        return value;
    }

    private OrtValue Filled<T>(InputBinding input, Func<int, T> convert)
        where T : unmanaged
    {
        long[] shape = input.Role switch
        {
            InputRole.EncoderMask => [Rows, Source],
            InputRole.Given => [.. input.Shape.Select((size, axis) => size >= 0 ? size : axis switch { 0 => Rows, 1 => (long)Length, _ => 1 })],
            InputRole.CachePosition => [Length],
            InputRole.LastPosition => [Rows],
            InputRole.UseCacheBranch or InputRole.TotalLength or InputRole.PastLength or InputRole.LogitsToKeep => input.Shape.Length == 0 && input.Role != InputRole.UseCacheBranch ? [] : [1],
            _ => [Rows, Length],
        };
        var count = (int)shape.Aggregate(1L, (a, b) => a * b);
        var owner = MemoryPool<T>.Shared.Rent(Math.Max(1, count));
        buffers.Add(owner);
        var memory = owner.Memory[..count];
        var data = memory.Span;
        switch (input.Role)
        {
            case InputRole.Given:
                data.Fill(convert(input.Value));
                break;
            case InputRole.CachePosition:
                Count(data, convert);
                break;
            case InputRole.LastPosition:
                for (var row = 0; row < Rows; row++)
                {
                    data[row] = convert(Row(row).Length - 1);
                }

                break;
            case InputRole.TotalLength:
                data[0] = convert(Length);
                break;
            case InputRole.UseCacheBranch or InputRole.PastLength or InputRole.LogitsToKeep:
                data[0] = convert(0);
                break;
            case InputRole.EncoderMask:
                for (var row = 0; row < Rows; row++)
                {
                    var own = Row(row).Encoder?.Length ?? Length;
                    data.Slice(row * Source, own).Fill(convert(1));
                    data.Slice((row * Source) + own, Source - own).Fill(convert(0));
                }

                break;
            default:
                for (var row = 0; row < Rows; row++)
                {
                    FillRow(input.Role, Row(row), data.Slice(row * Length, Length), convert);
                }

                break;
        }

        return OrtValue.CreateTensorValueFromMemory(OrtMemoryInfo.DefaultInstance, memory, shape);
    }

    private void FillRow<T>(InputRole role, GraphInput row, Span<T> data, Func<int, T> convert)
    {
        var own = row.Length;
        if (role == InputRole.PositionIds)
        {
            Count(data, convert, graph.FirstPosition);
            return;
        }

        if (role == InputRole.AttentionMask)
        {
            var attended = row.Attended ?? own;
            data[..attended].Fill(convert(1));
            data[attended..].Fill(convert(0));
            return;
        }

        var ids = role == InputRole.InputIds ? row.InputIds : row.TypeIds;
        if (ids is null)
        {
            data.Fill(convert(0));
            return;
        }

        for (var i = 0; i < own; i++)
        {
            data[i] = convert(ids[i]);
        }

        data[own..].Fill(convert(role == InputRole.InputIds ? graph.PadId : 0));
    }

    private static void Count<T>(Span<T> data, Func<int, T> convert, int first = 0)
    {
        for (var i = 0; i < data.Length; i++)
        {
            data[i] = convert(first + i);
        }
    }
}
