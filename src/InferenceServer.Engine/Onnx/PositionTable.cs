using InferenceServer.Engine.Manifest;
using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;

namespace InferenceServer.Engine.Onnx;

/// <summary>Tables that positions are looked up in: a Gather from a weight by a range, a running count, a constant 0, 1, 2, ... or <c>position_ids</c>.</summary>
internal static class PositionTable
{
    private const int LargestRange = 8 << 20;

    private static readonly HashSet<string> Kept = ["Unsqueeze", "Squeeze", "Reshape", "Cast", "Expand", "Identity", "Slice", "Tile"];

    /// <summary>Tokens for which the smallest table has a row; null when there is none.</summary>
    public static int? Rows(OnnxModel model, GraphIndex index)
    {
        int? smallest = null;
        foreach (var node in index.Graph.Nodes.Where(n => n is { OpType: "Gather", IsStandard: true } && (n.Attribute("axis")?.Integer ?? 0) == 0))
        {
            if (index.Constant(node.Input(0)) is { Dims: [var rows, > 1] } weight && GraphIndex.IsFloat(weight.DataType) && FirstRow(model, index, node.Input(1), 0) is { } first && rows - first is > 0 and <= int.MaxValue)
            {
                smallest = Math.Min(smallest ?? int.MaxValue, (int)(rows - first));
            }
        }

        return smallest;
    }

    /// <summary>The row of the first position, when the tensor holds positions.</summary>
    private static long? FirstRow(OnnxModel model, GraphIndex index, string tensor, int depth)
    {
        if (depth > 24)
        {
            return null;
        }

        if (tensor == "position_ids" && index.FedInputs.Any(i => i.Name == tensor))
        {
            return 0;
        }

        if (index.Graph.Initializers.TryGetValue(tensor, out var weight))
        {
            return First(model, weight);
        }

        switch (index.Producer(tensor))
        {
            case { OpType: "Constant" } node:
                return node.Attribute("value")?.Tensor is { } constant ? First(model, constant) : null;
            case { OpType: "Range" } node:
                return index.Integers(node.Input(0)) is [var start] ? start : 0;
            case { OpType: "CumSum" }:
                return 1;
            case { OpType: "Mul" } node:
                // The running count of tokens that are not padding, times whether this one is: RoBERTa.
                return Origin(index, node.Input(0)) is { OpType: "CumSum" } || Origin(index, node.Input(1)) is { OpType: "CumSum" } ? 1 : null;
            case { OpType: "Add" } node:
                return Sum(node.Input(0), node.Input(1)) ?? Sum(node.Input(1), node.Input(0));
            case { OpType: "Sub" } node:
                return index.Integers(node.Input(1)) is [var less] && FirstRow(model, index, node.Input(0), depth + 1) is { } from ? from - less : null;
            case { } node when Kept.Contains(node.OpType):
                return FirstRow(model, index, node.Input(0), depth + 1);
            default:
                return null;
        }

        // A constant moves the first row; a length that is known when the graph runs (of a cache, empty here) does not.
        long? Sum(string position, string by) => FirstRow(model, index, position, depth + 1) is { } first
            ? index.Integers(by) is [var more] ? first + more : index.IsConstant(by) ? null : first
            : null;
    }

    private static OnnxNode? Origin(GraphIndex index, string tensor)
    {
        var node = index.Producer(tensor);
        for (var hops = 0; hops < 8 && node is { OpType: "Cast" or "Identity" or "Add" }; hops++)
        {
            node = index.Producer(node.Input(0));
        }

        return node;
    }

    /// <summary>The first number of a constant that counts up by one.</summary>
    private static long? First(OnnxModel model, OnnxTensor tensor)
    {
        if (tensor.DataType != DataType.Int64 || tensor.Elements < 2)
        {
            return null;
        }

        if (tensor.Integers.Count > 1)
        {
            return tensor.Integers[1] == tensor.Integers[0] + 1 ? tensor.Integers[0] : null;
        }

        return OnnxModel.RawBytes(model.FilePath, tensor, LargestRange) is { Length: >= 16 } bytes && BitConverter.ToInt64(bytes, 8) == BitConverter.ToInt64(bytes, 0) + 1
            ? BitConverter.ToInt64(bytes, 0)
            : null;
    }
}
