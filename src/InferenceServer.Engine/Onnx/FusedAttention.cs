using InferenceServer.Engine.Onnx.Proto;

namespace InferenceServer.Engine.Onnx;

/// <summary>
/// Attention inside one operator: what it takes to have its probabilities as an output.
/// </summary>
/// <remarks>
/// ai.onnx Attention (opset 23, https://onnx.ai/onnx/operators/onnx__Attention.html): fourth output, mode 3 (after softmax).
/// com.microsoft operators (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md): MultiHeadAttention gives masked scores, so a Softmax is added;
/// GroupQueryAttention gives probabilities by <c>qk_output = 2</c>; Attention gives nothing and is put as MatMul, Split and MultiHeadAttention.
/// </remarks>
internal static class FusedAttention
{
    private static readonly HashSet<string> Names =
    [
        "Attention", "MultiHeadAttention", "GroupQueryAttention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention", "PackedAttention",
        "PackedMultiHeadAttention", "QAttention", "QOrderedAttention", "SparseAttention", "LongformerAttention", "PagedAttention", "LinearAttention", "DecoderAttention",
    ];

    public static bool IsFused(OnnxNode node) => Names.Contains(node.OpType);

    /// <summary>The site of an operator whose probabilities can be had, else null.</summary>
    public static AttentionSite? Site(GraphIndex index, OnnxNode node)
    {
        if (!IsFused(node) || Obstacle(index, node) is not null)
        {
            return null;
        }

        string First(params int[] inputs) => inputs.Select(node.Input).FirstOrDefault(i => i.Length > 0) ?? "";
        return (node.IsStandard, node.OpType) switch
        {
            (true, _) => new AttentionSite(node, node.Output(0), 4, node.Input(2), node.Input(3), IsSet(node, "is_causal")),
            (_, "MultiHeadAttention") => new AttentionSite(node, node.Output(0), 4, First(2, 1, 0), node.Input(5), IsSet(node, "unidirectional")),
            (_, "GroupQueryAttention") => new AttentionSite(node, node.Output(0), 4, First(2, 0), "", true),
            _ => new AttentionSite(node, node.Output(0), 4, node.Input(0), node.Input(5), IsSet(node, "unidirectional")),
        };
    }

    /// <summary>Why the probabilities of an operator cannot be had, with the remedy.</summary>
    public static string WhyNot(GraphIndex index, OnnxNode node) =>
        $"Attention is inside the fused operator {node.Operator}, {Obstacle(index, node) ?? "which keeps its probabilities to itself"}. "
        + "Use a file that was not run through a graph optimizer, or export the model with attn_implementation=eager.";

    /// <summary>Makes the probabilities an output and returns its name.</summary>
    public static string Expose(OnnxModel model, GraphIndex index, OnnxNode node, GraphEdit edit)
    {
        var name = $"{node.Output(0)}/probabilities";
        string[] Outputs(string fourth) => [node.Output(0), node.Output(1), node.Output(2), fourth];
        if (node.IsStandard)
        {
            edit.Replace(node, edit.Rewrite(node, Outputs(name), AttributeProto.Of("qk_matmul_output_mode", 3)));
        }
        else if (node.OpType == "GroupQueryAttention")
        {
            edit.DeclareType(name, index.FloatType(node.Input(0)));
            edit.Replace(node, edit.Rewrite(node, Outputs(name), AttributeProto.Of("qk_output", 2)));
        }
        else
        {
            var scores = $"{node.Output(0)}/scores";
            edit.DeclareType(scores, index.FloatType(node.Input(node.OpType == "Attention" ? 1 : 0)));
            edit.AddNode(new NodeProto { OpType = "Softmax", Input = { scores }, Output = { name }, Attribute = { AttributeProto.Of("axis", -1) } });
            if (node.OpType == "MultiHeadAttention")
            {
                edit.Replace(node, edit.Rewrite(node, Outputs(scores)));
            }
            else
            {
                edit.Replace(node, Unpacked(model, index, node, scores, edit));
            }
        }

        edit.AddOutput(name);
        return name;
    }

    /// <summary>com.microsoft Attention as MatMul (its packed weights), Split and MultiHeadAttention (which adds the packed bias).</summary>
    private static NodeProto[] Unpacked(OnnxModel model, GraphIndex index, OnnxNode node, string scores, GraphEdit edit)
    {
        var prefix = node.Output(0);
        var sizes = Sizes(index, node)!;
        string packed = $"{prefix}/qkv", query = $"{prefix}/query", key = $"{prefix}/key", value = $"{prefix}/value", split = $"{prefix}/split";
        var splitByInput = model.Opsets.GetValueOrDefault("") >= 13;
        if (splitByInput)
        {
            edit.AddInitializer(TensorProto.Of(split, [.. sizes]));
        }

        var attributes = new List<AttributeProto> { AttributeProto.Of("num_heads", node.Attribute("num_heads")!.Integer) };
        attributes.AddRange(((string[])["scale", "mask_filter_value"]).Select(node.Attribute).OfType<OnnxAttribute>().Where(a => a.HasFloat).Select(a => AttributeProto.Of(a.Name, a.Float)));
        if (IsSet(node, "unidirectional"))
        {
            attributes.Add(AttributeProto.Of("unidirectional", 1));
        }

        return
        [
            new NodeProto { OpType = "MatMul", Input = { node.Input(0), node.Input(1) }, Output = { packed } },
            splitByInput
                ? new NodeProto { OpType = "Split", Input = { packed, split }, Output = { query, key, value }, Attribute = { AttributeProto.Of("axis", -1) } }
                : new NodeProto { OpType = "Split", Input = { packed }, Output = { query, key, value }, Attribute = { AttributeProto.Of("axis", -1), AttributeProto.Of("split", sizes) } },
            new NodeProto
            {
                OpType = "MultiHeadAttention",
                Domain = "com.microsoft",
                Input = { query, key, value, node.Input(2), node.Input(3), node.Input(5) },
                Output = { node.Output(0), "", "", scores },
                Attribute = { attributes },
            },
        ];
    }

    /// <summary>Sizes of the packed query, key and value projections.</summary>
    private static List<long>? Sizes(GraphIndex index, OnnxNode node) =>
        node.Attribute("qkv_hidden_sizes") is { Integers: { Count: 3 } said } ? said
        : index.Constant(node.Input(1)) is { Dims: [_, var all] } && all % 3 == 0 ? [all / 3, all / 3, all / 3]
        : null;

    private static string? Obstacle(GraphIndex index, OnnxNode node)
    {
        if (node.Output(0).Length == 0)
        {
            return "whose result has no name";
        }

        if (node.IsStandard)
        {
            return node.OpType == "Attention" ? null : "which is not known";
        }

        switch (node.OpType)
        {
            case "MultiHeadAttention" or "GroupQueryAttention":
                return null;
            case "Attention" when node.Domain == "com.microsoft":
                return node.Input(4).Length > 0 || node.Output(1).Length > 0 ? "which keeps a cache of its own"
                    : IsSet(node, "do_rotary") ? "which turns its queries and keys (do_rotary)"
                    : index.Rank(node.Input(3)) is 4 ? "with a mask of four axes"
                    : node.Attribute("num_heads") is null || Sizes(index, node) is null ? "whose packed weights are not constant"
                    : null;
            default:
                return "which keeps its probabilities to itself";
        }
    }

    private static bool IsSet(OnnxNode node, string attribute) => node.Attribute(attribute)?.Integer is not (null or 0);
}
