using System.Buffers;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using InferenceServer.Engine.Diagnostics;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Execution;

/// <summary>The outputs of one run, read in place; other element types than float32 are widened once, when first read. Used by one thread.</summary>
internal sealed unsafe class GraphOutputs : IBatchOutputs
{
    private const int MostPooled = 1 << 20; // numbers: a larger array would stay with the pool

    private readonly IDisposableReadOnlyCollection<OrtValue> values;
    private readonly Dictionary<string, Output> outputs;
    private readonly int rows;

    /// <summary>Takes over <paramref name="values"/>, in the order of <paramref name="names"/>.</summary>
    public GraphOutputs(IReadOnlyCollection<string> names, IDisposableReadOnlyCollection<OrtValue> values, int rows)
    {
        this.values = values;
        this.rows = rows;
        outputs = new Dictionary<string, Output>(names.Count, StringComparer.Ordinal);
        var index = 0;
        foreach (var name in names)
        {
            outputs[name] = new Output(values[index++]);
        }
    }

    /// <inheritdoc/>
    public OutputRow Row(string output, int row)
    {
        if (!outputs.TryGetValue(output, out var found))
        {
            throw new InferenceException(ErrorCode.Internal, $"The output '{output}' was read but not asked for.");
        }

        if (found.RowShape is null)
        {
            found.Open(output, rows);
        }

        var size = found.RowSize;
        return new OutputRow(new ReadOnlySpan<float>(found.Data + ((long)row * size), size), found.RowShape);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var output in outputs.Values)
        {
            output.Dispose();
        }

        values.Dispose();
    }

    private sealed class Output(OrtValue value) : IDisposable
    {
        private float[]? widened;
        private GCHandle pin;

        public int[]? RowShape { get; private set; }

        public int RowSize { get; private set; }

        public float* Data { get; private set; }

        public void Open(string name, int rows)
        {
            var info = value.GetTensorTypeAndShape();
            var shape = info.Shape;
            if (shape.Length == 0 || shape[0] % rows != 0)
            {
                throw new InferenceException(ErrorCode.Internal, $"The output '{name}' has no batch axis.");
            }

            // [batch * heads, S, S] (some exports) reads as [batch, heads, S, S].
            var per = (int)(shape[0] / rows);
            var rowShape = shape.Skip(1).Select(d => (int)d);
            int[] own = [.. per == 1 ? rowShape : rowShape.Prepend(per)];
            var count = checked((int)info.ElementCount);
            if (info.ElementDataType == TensorElementType.Float)
            {
                fixed (float* data = value.GetTensorDataAsSpan<float>())
                {
                    Data = data; // native memory: it does not move
                }
            }
            else
            {
                // A type that is not read throws here, for every row that asks: what is held is held once.
                widened ??= count > MostPooled ? GC.AllocateUninitializedArray<float>(count) : ArrayPool<float>.Shared.Rent(Math.Max(1, count));
                Widen(name, info.ElementDataType, widened.AsSpan(0, count));
                pin = GCHandle.Alloc(widened, GCHandleType.Pinned);
                Data = (float*)pin.AddrOfPinnedObject();
            }

            RowSize = count / rows;
            RowShape = own;
        }

        public void Dispose()
        {
            if (widened is not null)
            {
                if (pin.IsAllocated)
                {
                    pin.Free();
                }

                if (widened.Length <= MostPooled)
                {
                    ArrayPool<float>.Shared.Return(widened);
                }
            }
        }

        private void Widen(string name, TensorElementType type, Span<float> to)
        {
            switch (type)
            {
                case TensorElementType.Float16:
                    TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<Float16, Half>(value.GetTensorDataAsSpan<Float16>()), to);
                    break;
                case TensorElementType.BFloat16:
                    var halves = MemoryMarshal.Cast<BFloat16, ushort>(value.GetTensorDataAsSpan<BFloat16>());
                    for (var i = 0; i < halves.Length; i++)
                    {
                        to[i] = BitConverter.UInt32BitsToSingle((uint)halves[i] << 16);
                    }

                    break;
                case TensorElementType.Double:
                    TensorPrimitives.ConvertTruncating(value.GetTensorDataAsSpan<double>(), to);
                    break;
                case TensorElementType.Int64:
                    TensorPrimitives.ConvertTruncating(value.GetTensorDataAsSpan<long>(), to);
                    break;
                case TensorElementType.Int32:
                    TensorPrimitives.ConvertTruncating(value.GetTensorDataAsSpan<int>(), to);
                    break;
                default:
                    throw new InferenceException(ErrorCode.Internal, $"The output '{name}' has the element type {type}, which is not read.");
            }
        }
    }
}
