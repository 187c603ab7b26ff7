using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;

namespace InferenceServer.Engine.Onnx;

/// <summary>
/// Finds a causal mask in what is added to, or chosen instead of, the scores before Softmax: a triangle (Trilu, or a constant that is one), or a comparison of
/// a key's position with a query's.
/// </summary>
internal static class CausalMask
{
    private const int LargestTriangle = 64 << 20;

    private static readonly HashSet<string> Comparisons = ["Less", "LessOrEqual", "Greater", "GreaterOrEqual"];

    private static readonly HashSet<string> Products = ["MatMul", "MatMulInteger", "FusedMatMul", "QLinearMatMul", "MatMulIntegerToFloat", "MatMulNBits", "Gemm", "Einsum", "Conv", "Softmax", "LayerNormalization", "Shape", "Size"];

    /// <summary>Steps that keep a position what it is.</summary>
    private static readonly HashSet<string> Kept =
        ["Unsqueeze", "Squeeze", "Reshape", "Cast", "Expand", "Transpose", "Identity", "Slice", "Tile", "Flatten", "Concat", "Gather"];

    /// <summary>True when a mask before the Softmax <paramref name="scores"/> is causal.</summary>
    public static bool IsBefore(OnnxModel model, GraphIndex index, string scores)
    {
        var known = new Dictionary<string, bool>(StringComparer.Ordinal);
        var seen = new HashSet<string>(StringComparer.Ordinal) { scores };
        var pending = new Stack<string>([scores]);
        while (pending.TryPop(out var tensor))
        {
            if (index.Graph.Initializers.TryGetValue(tensor, out var weight) && IsTriangle(model, weight))
            {
                return true;
            }

            if (index.Producer(tensor) is not { } node || Products.Contains(node.OpType))
            {
                continue;
            }

            if (node.OpType == "Trilu"
                || (node.OpType == "Constant" && node.Attribute("value")?.Tensor is { } constant && IsTriangle(model, constant))
                || (Comparisons.Contains(node.OpType) && IsPosition(index, known, node.Input(0), 0) && IsPosition(index, known, node.Input(1), 0)))
            {
                return true;
            }

            foreach (var input in node.Inputs.Where(i => i.Length > 0 && seen.Add(i)))
            {
                pending.Push(input);
            }
        }

        return false;
    }

    /// <summary>A position: a range or a fed integer, moved by one at most (a larger move is a window's edge, which looks both ways in encoders).</summary>
    private static bool IsPosition(GraphIndex index, Dictionary<string, bool> known, string tensor, int depth)
    {
        if (depth > 32)
        {
            return false;
        }

        if (!known.TryGetValue(tensor, out var result))
        {
            known[tensor] = false;
            known[tensor] = result = Follow();
        }

        return result;

        bool Follow()
        {
            if (index.FedInputs.Any(i => i.Name == tensor && i.Type is Manifest.ElementType.Int64 or Manifest.ElementType.Int32))
            {
                return true;
            }

            return index.Producer(tensor) switch
            {
                { OpType: "Range" or "CumSum" } => true,
                { OpType: "Add" or "Sub", Inputs.Count: 2 } node => Moves(node.Input(0), node.Input(1)) || (node.OpType == "Add" && Moves(node.Input(1), node.Input(0))),
                { } node when Kept.Contains(node.OpType) => IsPosition(index, known, node.Input(0), depth + 1),
                _ => false,
            };
        }

        // A move by a constant of at most one, or by a length that is only known when the graph runs (how much lies in the cache).
        bool Moves(string position, string by) =>
            IsPosition(index, known, position, depth + 1)
            && (index.IsConstant(by) ? index.Integers(by) is [>= -1 and <= 1] : !IsPosition(index, known, by, depth + 1));
    }

    /// <summary>A constant square whose part above the diagonal has one value and the rest another.</summary>
    private static bool IsTriangle(OnnxModel model, OnnxTensor tensor)
    {
        var size = tensor.DataType switch
        {
            DataType.Bool or DataType.Uint8 or DataType.Int8 => 1,
            DataType.Float16 or DataType.Bfloat16 => 2,
            DataType.Float or DataType.Int32 => 4,
            DataType.Int64 or DataType.Double => 8,
            _ => 0,
        };
        if (size == 0 || tensor.Dims.Count < 2 || tensor.Dims[^1] != tensor.Dims[^2] || tensor.Dims[^1] < 2)
        {
            return false;
        }

        var side = tensor.Dims[^1];
        if (side > 1 << 14 || side * side * size > LargestTriangle || tensor.RawLength < side * side * size || OnnxModel.RawBytes(model.FilePath, tensor, LargestTriangle) is not { } bytes)
        {
            return false;
        }

        ReadOnlySpan<byte> At(long row, long column) => bytes.AsSpan((int)(((row * side) + column) * size), size);
        var lower = At(0, 0);
        var upper = At(0, 1);
        if (lower.SequenceEqual(upper))
        {
            return false;
        }

        for (long row = 0; row < side; row++)
        {
            for (long column = 0; column < side; column++)
            {
                if (!At(row, column).SequenceEqual(column > row ? upper : lower))
                {
                    return false;
                }
            }
        }

        return true;
    }
}
