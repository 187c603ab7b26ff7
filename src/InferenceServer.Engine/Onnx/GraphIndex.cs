using InferenceServer.Engine.Manifest;
using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;

namespace InferenceServer.Engine.Onnx;

/// <summary>Who makes and who uses each tensor of a graph, and what can be said of a tensor without running it.</summary>
internal sealed class GraphIndex
{
    private readonly Dictionary<string, OnnxNode> producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<(OnnxNode Node, int Input)>> consumers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int?> ranks = new(StringComparer.Ordinal);
    private readonly Dictionary<string, GraphTensor> declared = new(StringComparer.Ordinal);

    public GraphIndex(GraphData graph)
    {
        Graph = graph;
        foreach (var node in graph.Nodes)
        {
            foreach (var output in node.Outputs.Where(o => o.Length > 0))
            {
                producers[output] = node;
            }

            for (var i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i].Length > 0)
                {
                    if (!consumers.TryGetValue(node.Inputs[i], out var users))
                    {
                        consumers[node.Inputs[i]] = users = [];
                    }

                    users.Add((node, i));
                }
            }
        }

        foreach (var value in graph.Inputs.Concat(graph.Outputs).Concat(graph.Values.Values))
        {
            declared[value.Name] = value;
        }

        FedInputs = [.. graph.Inputs.Where(i => !graph.Initializers.ContainsKey(i.Name))];
    }

    public GraphData Graph { get; }

    /// <summary>Inputs that a caller feeds (older files list the weights as inputs, too).</summary>
    public IReadOnlyList<GraphTensor> FedInputs { get; }

    public OnnxNode? Producer(string tensor) => producers.GetValueOrDefault(tensor);

    public IReadOnlyList<(OnnxNode Node, int Input)> Consumers(string tensor) => consumers.TryGetValue(tensor, out var users) ? users : [];

    /// <summary>True for a weight or a constant node's output (through Cast, Identity, DequantizeLinear and Transpose).</summary>
    public bool IsConstant(string tensor)
    {
        for (var hops = 0; hops < 8; hops++)
        {
            if (Graph.Initializers.ContainsKey(tensor))
            {
                return true;
            }

            switch (Producer(tensor))
            {
                case { OpType: "Constant" }:
                    return true;
                case { OpType: "Cast" or "Identity" or "DequantizeLinear" or "Transpose" or "QuantizeLinear" } node:
                    tensor = node.Input(0);
                    continue;
                default:
                    return false;
            }
        }

        return false;
    }

    /// <summary>The constant behind a tensor, or null.</summary>
    public OnnxTensor? Constant(string tensor)
    {
        for (var hops = 0; hops < 8; hops++)
        {
            if (Graph.Initializers.TryGetValue(tensor, out var initializer))
            {
                return initializer;
            }

            switch (Producer(tensor))
            {
                case { OpType: "Constant" } node:
                    return node.Attribute("value")?.Tensor;
                case { OpType: "Cast" or "Identity" } node:
                    tensor = node.Input(0);
                    continue;
                default:
                    return null;
            }
        }

        return null;
    }

    /// <summary>Integers of a constant tensor or of a Constant node's <c>value_int(s)</c>; null when it is none.</summary>
    public IReadOnlyList<long>? Integers(string tensor)
    {
        if (Producer(tensor) is { OpType: "Constant" } node)
        {
            if (node.Attribute("value_ints") is { } list)
            {
                return list.Integers;
            }

            if (node.Attribute("value_int") is { } single)
            {
                return [single.Integer];
            }
        }

        return Constant(tensor)?.Integers;
    }

    /// <summary>Number of axes of a tensor, declared by the file or inferred; null when neither says.</summary>
    public int? Rank(string tensor) => Rank(tensor, 0);

    /// <summary>Type of a float tensor (float, float16, bfloat16), declared or followed to a weight or a Cast; float when nothing says.</summary>
    public DataType FloatType(string tensor)
    {
        const DataType none = DataType.Float;
        for (var hops = 0; hops < 64; hops++)
        {
            var type = declared.GetValueOrDefault(tensor)?.Type switch
            {
                ElementType.Float => DataType.Float,
                ElementType.Float16 => DataType.Float16,
                ElementType.BFloat16 => DataType.Bfloat16,
                _ => Constant(tensor)?.DataType ?? DataType.Undefined,
            };
            if (IsFloat(type))
            {
                return type;
            }

            switch (Producer(tensor))
            {
                case { OpType: "Cast" } node:
                    return node.Attribute("to") is { } to ? (DataType)to.Integer : none;
                case { Inputs.Count: > 0 } node:
                    tensor = node.Inputs.FirstOrDefault(i => Constant(i) is { } weight && IsFloat(weight.DataType)) ?? node.Input(0);
                    break;
                default:
                    return none;
            }
        }

        return none;
    }

    /// <summary>True for the float types of activations.</summary>
    public static bool IsFloat(DataType type) => type is DataType.Float or DataType.Float16 or DataType.Bfloat16;

    private int? Rank(string tensor, int depth)
    {
        if (tensor.Length == 0 || depth > 64)
        {
            return null;
        }

        if (ranks.TryGetValue(tensor, out var known))
        {
            return known;
        }

        ranks[tensor] = null;
        var rank = declared.GetValueOrDefault(tensor)?.Shape?.Count ?? (Graph.Initializers.TryGetValue(tensor, out var weight) ? weight.Dims.Count : Infer(tensor, depth));
        ranks[tensor] = rank;
        return rank;
    }

    private int? Infer(string tensor, int depth)
    {
        if (Producer(tensor) is not { } node)
        {
            return null;
        }

        int? Of(int input) => Rank(node.Input(input), depth + 1);
        int? Widest()
        {
            int? widest = null;
            for (var i = 0; i < node.Inputs.Count; i++)
            {
                if (Of(i) is { } rank && rank >= (widest ?? 0))
                {
                    widest = rank;
                }
            }

            return widest;
        }

        return node.OpType switch
        {
            "Constant" => node.Attribute("value")?.Tensor?.Dims.Count,
            "Softmax" or "Cast" or "Identity" or "Dropout" or "DynamicQuantizeLinear" or "QuantizeLinear" or "DequantizeLinear" or "Clip" or "Tanh" or "Neg" => Of(0),
            "Transpose" => node.Attribute("perm")?.Integers.Count ?? Of(0),
            "Reshape" => ShapeLength(node.Input(1), depth + 1),
            "Expand" => Max(Of(0), ShapeLength(node.Input(1), depth + 1)),
            "Where" or "Add" or "Sub" or "Mul" or "Div" => Widest(),
            "MatMul" or "MatMulInteger" or "FusedMatMul" => Max(Of(0), Of(1)),
            _ => null,
        };
    }

    /// <summary>How many axes a shape tensor names: the length of a one-dimensional tensor.</summary>
    private int? ShapeLength(string tensor, int depth)
    {
        if (depth > 64)
        {
            return null;
        }

        if (Integers(tensor) is { Count: > 0 } values)
        {
            return values.Count;
        }

        if (declared.GetValueOrDefault(tensor) is { Shape: { Count: 1 } shape } && int.TryParse(shape[0], out var length))
        {
            return length;
        }

        switch (Producer(tensor))
        {
            case { OpType: "Concat" } node:
                var sum = 0;
                foreach (var part in node.Inputs)
                {
                    if (ShapeLength(part, depth + 1) is not { } more)
                    {
                        return null;
                    }

                    sum += more;
                }

                return sum;
            case { OpType: "Unsqueeze" }:
                return 1;
            case { OpType: "Cast" or "Identity" } node:
                return ShapeLength(node.Input(0), depth + 1);
            case { OpType: "Shape" } node:
                return node.Attribute("start") is null && node.Attribute("end") is null ? Rank(node.Input(0), depth + 1) : null;
            case { OpType: "Reshape" } node when Integers(node.Input(1)) is [-1 or 1]:
                return Integers(node.Input(1)) is [1] ? 1 : null;
            default:
                return null;
        }
    }

    private static int? Max(int? a, int? b) => a is { } x && b is { } y ? Math.Max(x, y) : a ?? b;
}
