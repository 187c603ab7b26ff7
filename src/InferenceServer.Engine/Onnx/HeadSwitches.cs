using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx.Proto;
using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;

namespace InferenceServer.Engine.Onnx;

/// <summary>
/// A graph with one more input, a number for each head of each row: what a head gives (its context) is multiplied with it before the heads are put together, so that 0 takes the head out as
/// if its rows of the output projection were zero. (Michel, Levy, Neubig: Are Sixteen Heads Really Better than One?, NeurIPS 2019.)
/// </summary>
internal static class HeadSwitches
{
    /// <summary>Adds the input, and the graph's outputs under names of their own; empty where the heads of a site are not apart.</summary>
    public static IReadOnlyList<HeadSwitch> Add(OnnxModel model, GraphIndex index, ModelConfig config, GraphEdit edit)
    {
        var sites = AttentionSites.Find(index, model.Opsets.GetValueOrDefault(""));
        var kinds = new AttentionKinds(model, index, config, sites);
        var switches = new List<HeadSwitch>();
        var layers = new Dictionary<AttentionKind, int>();
        var offset = 0;
        foreach (var site in sites)
        {
            var kind = kinds.Of(site);
            var layer = layers.GetValueOrDefault(kind);
            layers[kind] = layer + 1;
            var heads = AttentionOutputs.HeadsOf(kind, config) ?? 0;
            if (heads < 1 || !Switch(index, site, heads, offset, edit))
            {
                return [];
            }

            switches.Add(new HeadSwitch(layer, kind, heads, offset));
            offset += heads;
        }

        if (switches.Count > 0)
        {
            edit.AddInput(new ValueInfoProto
            {
                Name = HeadSwitch.Input,
                Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = DataType.Float, Shape = new TensorShapeProto { Dim = { new TensorShapeProto.Types.Dimension { DimParam = "switched_batch" }, new TensorShapeProto.Types.Dimension { DimValue = offset } } } } },
            });
            foreach (var output in model.Graph.Outputs)
            {
                edit.AddNode(new NodeProto { OpType = "Identity", Input = { output.Name }, Output = { HeadSwitch.Output(output.Name) } });
                edit.AddOutput(HeadSwitch.Output(output.Name));
            }
        }

        return switches;
    }

    private static bool Switch(GraphIndex index, AttentionSite site, int heads, int offset, GraphEdit edit)
    {
        var node = site.Product ?? site.Node;
        var output = node.Output(0);
        var type = index.FloatType(node.Input(node.OpType == "MatMul" ? 1 : 0));
        var whole = $"{output}/before_switch";
        string mask = $"{output}/switch", shaped = $"{mask}/shaped";
        if (site.Product is { OpType: "MatMul" })
        {
            // [batch, heads, query, d], or [batch * heads, query, d]
            var rank = index.Rank(output) ?? site.Rank;
            if (rank is not (3 or 4))
            {
                return false;
            }

            var nodes = Mask(rank == 4 ? [0, heads, 1, 1] : [-1, 1, 1]);
            edit.Replace(node, [.. nodes, edit.Rewrite(node, [whole, .. node.Outputs.Skip(1)]), Times(whole, output)]);
            return true;
        }

        if (site.Product is not null || !FusedAttention.IsFused(node))
        {
            return false;
        }

        if (node.IsStandard && node.Attribute("q_num_heads") is null)
        {
            edit.Replace(node, [.. Mask([0, heads, 1, 1]), edit.Rewrite(node, [whole, .. node.Outputs.Skip(1)]), Times(whole, output)]);
            return true;
        }

        // Heads side by side: [batch, S, heads * d]
        string apart = $"{whole}/apart", switched = $"{whole}/switched";
        edit.AddInitializer(TensorProto.Of($"{apart}/shape", 0, 0, heads, -1));
        edit.AddInitializer(TensorProto.Of($"{switched}/shape", 0, 0, -1));
        edit.Replace(node,
        [
            .. Mask([0, 1, heads, 1]),
            edit.Rewrite(node, [whole, .. node.Outputs.Skip(1)]),
            new NodeProto { OpType = "Reshape", Input = { whole, $"{apart}/shape" }, Output = { apart } },
            Times(apart, switched),
            new NodeProto { OpType = "Reshape", Input = { switched, $"{switched}/shape" }, Output = { output } },
        ]);
        return true;

        NodeProto Times(string input, string result) => new() { OpType = "Mul", Input = { input, shaped }, Output = { result } };

        List<NodeProto> Mask(long[] shape)
        {
            edit.AddInitializer(TensorProto.Of($"{mask}/from", offset));
            edit.AddInitializer(TensorProto.Of($"{mask}/to", offset + heads));
            edit.AddInitializer(TensorProto.Of($"{mask}/axis", 1));
            edit.AddInitializer(TensorProto.Of($"{mask}/shape", shape));
            List<NodeProto> nodes = [new() { OpType = "Slice", Input = { HeadSwitch.Input, $"{mask}/from", $"{mask}/to", $"{mask}/axis" }, Output = { mask } }];
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
