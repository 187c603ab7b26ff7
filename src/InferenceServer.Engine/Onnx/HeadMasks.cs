using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx.Proto;
using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;

namespace InferenceServer.Engine.Onnx;

/// <summary>
/// A graph with one more input, a number for each head of each row: what a head gives (its context) is multiplied with it before the heads are put together, so that 0 takes the head out as
/// if its rows of the output projection were zero. (Michel, Levy, Neubig: Are Sixteen Heads Really Better than One?, NeurIPS 2019.)
/// </summary>
internal static class HeadMasks
{
    /// <summary>The sites in the order of computation with their places in the mask; none where the heads of one of them are not apart.</summary>
    public static IReadOnlyList<(AttentionSite Site, HeadMask Mask)> Find(OnnxModel model, GraphIndex index, ModelConfig config)
    {
        var sites = AttentionSites.Find(index, model.Opsets.GetValueOrDefault(""));
        var kinds = new AttentionKinds(model, index, config, sites);
        var found = new List<(AttentionSite, HeadMask)>();
        var layers = new Dictionary<AttentionKind, int>();
        var offset = 0;
        foreach (var site in sites)
        {
            var kind = kinds.Of(site);
            var layer = layers.GetValueOrDefault(kind);
            layers[kind] = layer + 1;
            var heads = AttentionOutputs.HeadsOf(kind, config) ?? 0;
            if (heads < 1 || !(site.Product is null ? FusedAttention.IsFused(site.Node) : site.Product.OpType == "MatMul" && RankOf(index, site) is 3 or 4))
            {
                return [];
            }

            found.Add((site, new HeadMask(layer, kind, heads, offset)));
            offset += heads;
        }

        return found;
    }

    /// <summary>Adds the input, and the graph's outputs under names of their own.</summary>
    public static void Add(OnnxModel model, GraphIndex index, ModelConfig config, GraphEdit edit)
    {
        var found = Find(model, index, config);
        foreach (var (site, mask) in found)
        {
            Mask(index, site, mask.Heads, mask.Offset, edit);
        }

        edit.AddInput(new ValueInfoProto
        {
            Name = HeadMask.Input,
            Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = DataType.Float, Shape = new TensorShapeProto { Dim = { new TensorShapeProto.Types.Dimension { DimParam = "head_mask_batch" }, new TensorShapeProto.Types.Dimension { DimValue = HeadMask.Width([.. found.Select(one => one.Mask)]) } } } } },
        });
        foreach (var output in model.Graph.Outputs)
        {
            edit.AddNode(new NodeProto { OpType = "Identity", Input = { output.Name }, Output = { HeadMask.Output(output.Name) } });
            edit.AddOutput(HeadMask.Output(output.Name));
        }
    }

    private static int? RankOf(GraphIndex index, AttentionSite site) => index.Rank(site.Product!.Output(0)) ?? site.Rank;

    private static void Mask(GraphIndex index, AttentionSite site, int heads, int offset, GraphEdit edit)
    {
        var node = site.Product ?? site.Node;
        var output = node.Output(0);
        var type = index.FloatType(node.Input(node.OpType == "MatMul" ? 1 : 0));
        string whole = $"{output}/before_head_mask", mask = $"{output}/head_mask", shaped = $"{mask}/shaped";
        var rewritten = edit.Rewrite(node, [whole, .. node.Outputs.Skip(1)]);
        if (site.Product is not null || (node.IsStandard && node.Attribute("q_num_heads") is null))
        {
            // [batch, heads, query, d], or [batch * heads, query, d]
            edit.Replace(node, [.. Shaped(site.Product is not null && RankOf(index, site) == 3 ? [-1, 1, 1] : [0, heads, 1, 1]), rewritten, Times(whole, output)]);
            return;
        }

        // Heads side by side: [batch, S, heads * d]
        string apart = $"{whole}/apart", masked = $"{whole}/masked";
        edit.AddInitializer(TensorProto.Of($"{apart}/shape", 0, 0, heads, -1));
        edit.AddInitializer(TensorProto.Of($"{masked}/shape", 0, 0, -1));
        edit.Replace(
            node,
            [
                .. Shaped([0, 1, heads, 1]),
                rewritten,
                new NodeProto { OpType = "Reshape", Input = { whole, $"{apart}/shape" }, Output = { apart } },
                Times(apart, masked),
                new NodeProto { OpType = "Reshape", Input = { masked, $"{masked}/shape" }, Output = { output } },
            ]);

        NodeProto Times(string input, string result) => new() { OpType = "Mul", Input = { input, shaped }, Output = { result } };

        // This layer's part of the mask, with the axes of what it is multiplied with.
        List<NodeProto> Shaped(long[] shape)
        {
            edit.AddInitializer(TensorProto.Of($"{mask}/from", offset));
            edit.AddInitializer(TensorProto.Of($"{mask}/to", offset + heads));
            edit.AddInitializer(TensorProto.Of($"{mask}/axis", 1));
            edit.AddInitializer(TensorProto.Of($"{mask}/shape", shape));
            List<NodeProto> nodes = [new() { OpType = "Slice", Input = { HeadMask.Input, $"{mask}/from", $"{mask}/to", $"{mask}/axis" }, Output = { mask } }];
            var taken = mask;
            if (type != DataType.Float)
            {
                nodes.Add(new NodeProto { OpType = "Cast", Input = { mask }, Output = { $"{mask}/cast" }, Attribute = { AttributeProto.Of("to", (long)type) } });
                taken = $"{mask}/cast";
            }

            nodes.Add(new NodeProto { OpType = "Reshape", Input = { taken, $"{mask}/shape" }, Output = { shaped } });
            return nodes;
        }
    }
}
