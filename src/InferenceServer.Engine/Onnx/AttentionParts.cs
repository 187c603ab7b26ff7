using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx.Proto;

namespace InferenceServer.Engine.Onnx;

/// <summary>
/// Finds what leads to the probabilities of a site by walking back from the softmax: the masked scores, the scaled products, their two factors; and the product that follows. Nothing is
/// recomputed: the tensors are the graph's own, made outputs.
/// </summary>
internal static class AttentionParts
{
    private const int LongestWalk = 16; // from the softmax to the product; exporters write five

    private static readonly HashSet<string> Kept = ["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Dropout"];

    /// <summary>Makes the parts of a site outputs, and says what each is; a part that the graph does not show is absent.</summary>
    public static IEnumerable<AttentionPartOutput> Add(GraphIndex index, AttentionSite site, AttentionOutput tap, GraphEdit edit)
    {
        var found = site.Node.OpType == "Softmax" ? OfSoftmax(index, site, edit) : OfFused(index, site.Node, edit);
        foreach (var (part, output) in found)
        {
            edit.AddOutput(output);
            yield return new AttentionPartOutput(part, tap.Layer, tap.Kind, output);
        }
    }

    private static List<(AttentionPart, string)> OfSoftmax(GraphIndex index, AttentionSite site, GraphEdit edit)
    {
        var parts = new List<(AttentionPart, string)>();
        if (site.Product is { OpType: "MatMul" or "FusedMatMul" } after)
        {
            parts.Add((AttentionPart.Context, after.Output(0)));
        }

        // A quantised product multiplies something else.
        if (!IsConstantOrQuantised(index, site.Value))
        {
            parts.Add((AttentionPart.V, site.Value));
        }

        if (Product(index, site.Mask, LongestWalk, new HashSet<string>(StringComparer.Ordinal)) is not var (product, scores) || product is null)
        {
            return parts;
        }

        var (q, k) = (Unscaled(index, product.Input(0)), Unscaled(index, product.Input(1)));
        parts.Add((AttentionPart.Scores, scores));
        parts.Add((AttentionPart.Q, q));
        var rank = index.Rank(k) ?? index.Rank(q) ?? site.Rank;
        if (rank is 3 or 4)
        {
            // [.., d, key] -> [.., key, d]
            var name = $"{k}/of_keys";
            edit.AddNode(new NodeProto { OpType = "Transpose", Input = { k }, Output = { name }, Attribute = { AttributeProto.Of("perm", rank == 4 ? [0, 1, 3, 2] : [0, 2, 1]) } });
            parts.Add((AttentionPart.K, name));
        }

        return parts;
    }

    // The product of queries and keys behind a tensor, and its result after scaling and before a mask or a bias is added.
    private static (OnnxNode? Product, string Scores)? Product(GraphIndex index, string tensor, int steps, HashSet<string> seen)
    {
        var scores = tensor;
        for (; steps > 0; steps--)
        {
            if (!seen.Add(tensor) || index.Producer(tensor) is not { } node)
            {
                return null; // every tensor once: sides that meet again would double the walk
            }

            if (node.OpType is "MatMul" or "FusedMatMul")
            {
                return index.IsConstant(node.Input(0)) || index.IsConstant(node.Input(1)) ? null : (node, scores);
            }

            if (Kept.Contains(node.OpType))
            {
                tensor = node.Input(0);
            }
            else if (node.OpType is "Add" or "Sub" or "Where" or "Max" or "Clip" or "Mul" or "Div")
            {
                // The side that comes from a product is meant; the other is a mask, a bias, or what scales it, which changes nothing of whose scores they are.
                int[] sides = node.OpType switch { "Where" => [1, 2], "Add" or "Mul" => [0, 1], _ => [0] };
                foreach (var side in sides)
                {
                    if (Product(index, node.Input(side), steps - 1, seen) is { } found)
                    {
                        return node.OpType is "Mul" or "Div" && found.Scores == node.Input(side) ? (found.Product, scores) : found;
                    }
                }

                return null;
            }
            else
            {
                return null;
            }
        }

        return null;
    }

    // A factor before it was scaled by one number.
    private static string Unscaled(GraphIndex index, string tensor)
    {
        for (var steps = 0; steps < 4 && index.Producer(tensor) is { OpType: "Mul" or "Div" } node && ScaledInput(index, node) is { } input; steps++)
        {
            tensor = node.Input(input);
        }

        return tensor;
    }

    // Which input of a product or a quotient is scaled by the other, a single number; null when neither is.
    private static int? ScaledInput(GraphIndex index, OnnxNode node) =>
        IsNumber(index, node.Input(1)) ? 0 : node.OpType == "Mul" && IsNumber(index, node.Input(0)) ? 1 : null;

    private static bool IsNumber(GraphIndex index, string tensor) =>
        index.Constant(tensor) is { } constant ? constant.Elements == 1
        : index.Rank(tensor) is { } rank ? rank == 0
        : index.Producer(tensor) is { OpType: "Sqrt" or "Cast" or "Div" or "Reciprocal" or "Pow" or "Constant" };

    private static bool IsConstantOrQuantised(GraphIndex index, string tensor) =>
        index.IsConstant(tensor) || index.Producer(tensor)?.OpType is "DynamicQuantizeLinear" or "QuantizeLinear";

    // com.microsoft MultiHeadAttention, Attention in the three nodes that FusedAttention puts in its place (both with heads side by side), and ai.onnx Attention.
    private static List<(AttentionPart, string)> OfFused(GraphIndex index, OnnxNode node, GraphEdit edit)
    {
        var prefix = node.Output(0);
        if (node is { OpType: "Attention", IsStandard: true })
        {
            var (own, shared) = (node.Attribute("q_num_heads")?.Integer, node.Attribute("kv_num_heads")?.Integer);
            if (own is > 0 && own == shared)
            {
                return Parts(Split(node.Input(0), $"{prefix}/q", own.Value), Split(node.Input(1), $"{prefix}/k", own.Value), Split(node.Input(2), $"{prefix}/v", own.Value), Split(prefix, $"{prefix}/context", own.Value));
            }

            return own is null && shared is null && index.Rank(node.Input(0)) is null or 4 ? Parts(node.Input(0), node.Input(1), node.Input(2), prefix) : [];
        }

        var isPacked = node.OpType == "Attention";
        if ((!isPacked && node.OpType != "MultiHeadAttention") || node.Attribute("num_heads")?.Integer is not (> 0 and var heads))
        {
            return [];
        }

        string[] given = isPacked ? [$"{prefix}/query", $"{prefix}/key", $"{prefix}/value"] : [node.Input(0), node.Input(1), node.Input(2)];
        var bias = node.Input(isPacked ? 2 : 3);
        var width = bias.Length == 0 ? null : index.Constant(bias) is { Dims: [var all] } && all % 3 == 0 ? all / 3 : (long?)-1;
        return width == -1 || given.Any(input => input.Length == 0 || (!isPacked && index.Rank(input) is 4 or 5))
            ? []
            : Parts(ByHead(AttentionPart.Q), ByHead(AttentionPart.K), ByHead(AttentionPart.V), Split(prefix, $"{prefix}/context", heads));

        string ByHead(AttentionPart part)
        {
            var (which, name) = ((int)part, $"{prefix}/{part}");
            var input = given[which];
            if (width is { } w)
            {
                edit.AddInitializer(TensorProto.Of($"{name}/from", which * w));
                edit.AddInitializer(TensorProto.Of($"{name}/to", (which + 1) * w));
                edit.AddNode(new NodeProto { OpType = "Slice", Input = { bias, $"{name}/from", $"{name}/to" }, Output = { $"{name}/bias" } });
                edit.AddNode(new NodeProto { OpType = "Add", Input = { input, $"{name}/bias" }, Output = { $"{name}/biased" } });
                input = $"{name}/biased";
            }

            return Split(input, name, heads);
        }

        // [batch, S, heads * d] -> [batch, heads, S, d]
        string Split(string input, string output, long heads)
        {
            edit.AddInitializer(TensorProto.Of($"{output}/four", 0, 0, heads, -1));
            edit.AddNode(new NodeProto { OpType = "Reshape", Input = { input, $"{output}/four" }, Output = { $"{output}/split" } });
            edit.AddNode(new NodeProto { OpType = "Transpose", Input = { $"{output}/split" }, Output = { output }, Attribute = { AttributeProto.Of("perm", [0, 2, 1, 3]) } });
            return output;
        }

        // What the operator computes inside, beside it.
        List<(AttentionPart, string)> Parts(string q, string k, string v, string context)
        {
            string transposed = $"{prefix}/keys_transposed", products = $"{prefix}/products", scores = $"{prefix}/scaled_products";
            edit.AddNode(new NodeProto { OpType = "Transpose", Input = { k }, Output = { transposed }, Attribute = { AttributeProto.Of("perm", [0, 1, 3, 2]) } });
            edit.AddNode(new NodeProto { OpType = "MatMul", Input = { q, transposed }, Output = { products } });
            if (node.Attribute("scale") is { HasFloat: true, Float: not 0 and var scale })
            {
                edit.AddNode(new NodeProto { OpType = "Constant", Output = { $"{scores}/scale" }, Attribute = { AttributeProto.Of("value_float", scale) } });
            }
            else
            {
                // 1 / sqrt(d), d the last axis of the queries
                edit.AddInitializer(TensorProto.Of($"{scores}/last", 3));
                edit.AddNode(new NodeProto { OpType = "Shape", Input = { q }, Output = { $"{scores}/shape" } });
                edit.AddNode(new NodeProto { OpType = "Gather", Input = { $"{scores}/shape", $"{scores}/last" }, Output = { $"{scores}/size" } });
                edit.AddNode(new NodeProto { OpType = "Cast", Input = { $"{scores}/size" }, Output = { $"{scores}/d" }, Attribute = { AttributeProto.Of("to", (long)index.FloatType(node.Input(HasOwnQueries() ? 0 : 1))) } });
                edit.AddNode(new NodeProto { OpType = "Sqrt", Input = { $"{scores}/d" }, Output = { $"{scores}/root" } });
                edit.AddNode(new NodeProto { OpType = "Reciprocal", Input = { $"{scores}/root" }, Output = { $"{scores}/scale" } });
            }

            edit.AddNode(new NodeProto { OpType = "Mul", Input = { products, $"{scores}/scale" }, Output = { scores } });
            return [(AttentionPart.Context, context), (AttentionPart.V, v), (AttentionPart.Scores, scores), (AttentionPart.Q, q), (AttentionPart.K, k)];
        }

        bool HasOwnQueries() => node.IsStandard || node.OpType != "Attention"; // the packed one's first input may have no known type, its weights have
    }
}
