using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Onnx;

/// <summary>Says of a graph what the server has to know: inputs, outputs, precision, and where attention can be read.</summary>
internal static class GraphReader
{
    public static GraphSummary Summarise(OnnxModel model, ModelConfig config, GraphEdit edit)
    {
        var index = new GraphIndex(model.Graph);
        var parts = new List<AttentionPartOutput>();
        var taps = AttentionOutputs.Add(model, index, config, edit, out var unavailable, parts, new GraphEdit(model)); // what exposes the parts is made anew when they are asked for
        return new GraphSummary
        {
            File = model.FilePath,
            Inputs = index.FedInputs,
            Outputs = model.Graph.Outputs,
            Attention = taps,
            AttentionParts = taps.Count > 0 ? parts : [],
            HeadMasks = taps.Count > 0 ? [.. HeadMasks.Find(model, index, config).Select(found => found.Mask)] : [],
            AttentionUnavailable = taps.Count > 0 ? null : unavailable,
            Opset = (int)Math.Clamp(model.Opsets.GetValueOrDefault(""), 0, int.MaxValue),
            Producer = model.Producer,
            QuantizesActivations = model.Graph.Nodes.Any(QuantizesActivations),
            QuantizesBlocks = model.Graph.Nodes.Exists(PackedProducts.QuantizesBlocks),
            WritesCache = WritesCache(index),
            WeightType = WeightType(model),
            PositionRows = PositionTable.Rows(model, index),
            TokenRows = TokenTable.Rows(index),
            ExternalData = [.. model.ExternalFiles],
        };
    }

    private static bool QuantizesActivations(OnnxNode node) =>
        node.OpType is "DynamicQuantizeLinear" or "DynamicQuantizeMatMul" or "DynamicQuantizeLSTM";

    private static bool WritesCache(GraphIndex index)
    {
        var pasts = index.FedInputs.Where(input => input is { Shape.Count: 4 } && input.Name.StartsWith("past", StringComparison.Ordinal)).ToList();
        return pasts.Count > 0 && pasts.TrueForAll(past => index.Consumers(past.Name) is [({ OpType: "GroupQueryAttention", Domain: "com.microsoft" }, 3 or 4)]);
    }

    private static string WeightType(OnnxModel model)
    {
        // The packed weights of MatMulNBits are declared as bytes.
        var packed = model.Graph.Nodes.Where(PackedProducts.Is).ToList();
        var bits = new Dictionary<string, double>(model.WeightBits);
        foreach (var node in packed)
        {
            if (model.Graph.Initializers.TryGetValue(node.Input(1), out var weight))
            {
                var type = node.Attribute("bits")?.Integer == 8 ? "int8" : "int4";
                bits["int8"] = bits.GetValueOrDefault("int8") - (weight.Elements * 8);
                bits[type] = bits.GetValueOrDefault(type) + (weight.Elements * 8);
            }
        }

        return bits.Count == 0 ? "float32" : bits.MaxBy(b => b.Value).Key;
    }
}
