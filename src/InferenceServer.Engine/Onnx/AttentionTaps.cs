using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Onnx;

/// <summary>Turns the places where attention is computed into outputs <c>[batch, heads, query, key]</c>, and says whose attention each is.</summary>
internal static class AttentionTaps
{
    private const int MostSites = 2048;

    public static IReadOnlyList<AttentionTap> Add(OnnxModel model, GraphIndex index, ModelConfig config, GraphEdit edit, out string? unavailable)
    {
        var sites = AttentionSites.Find(index, model.Opsets.GetValueOrDefault(""));
        unavailable = null;
        if (sites.Count == 0)
        {
            unavailable = WhyNone(model, index);
            return [];
        }

        if (sites.Count > MostSites)
        {
            unavailable = $"The graph computes attention {sites.Count} times; at most {MostSites} can be read.";
            return [];
        }

        var kinds = new AttentionKinds(model, index, config, sites);
        var taps = new List<AttentionTap>();
        var layers = new Dictionary<AttentionKind, int>();
        foreach (var site in sites)
        {
            var kind = kinds.Of(site);
            var heads = kind == AttentionKind.Encoder ? config.Heads : config.DecoderHeads ?? config.Heads;
            if ((FusedAttention.IsFused(site.Node) ? FusedAttention.Expose(model, index, site.Node, edit) : Expose(site, heads, edit)) is not { } output)
            {
                unavailable = $"The probabilities of tensor {site.Tensor} are [batch * heads, query, key] and config.json does not say how many heads there are. Add num_attention_heads to config.json.";
                return [];
            }

            var layer = layers.GetValueOrDefault(kind);
            layers[kind] = layer + 1;
            taps.Add(new AttentionTap(layer, kind, output, site.Tensor));
        }

        return taps;
    }

    private static string? Expose(AttentionSite site, int? heads, GraphEdit edit)
    {
        if (site.Rank == 4)
        {
            edit.AddOutput(site.Tensor);
            return site.Tensor;
        }

        if (heads is not > 0)
        {
            return null;
        }

        // [batch * heads, query, key] -> [batch, heads, query, key]; a tensor that has the four axes already stays as it is.
        var name = $"{site.Tensor}/probabilities";
        edit.AddInitializer(ProtoWriter.Integers($"{name}/heads", -1, heads.Value));
        edit.AddInitializer(ProtoWriter.Integers($"{name}/from", -2));
        edit.AddInitializer(ProtoWriter.Integers($"{name}/to", long.MaxValue));
        edit.AddNode(ProtoWriter.Node("Shape", [site.Tensor], [$"{name}/shape"]));
        edit.AddNode(ProtoWriter.Node("Slice", [$"{name}/shape", $"{name}/from", $"{name}/to"], [$"{name}/last"]));
        edit.AddNode(ProtoWriter.Node("Concat", [$"{name}/heads", $"{name}/last"], [$"{name}/four"], "", ProtoWriter.Attribute("axis", 0L)));
        edit.AddNode(ProtoWriter.Node("Reshape", [site.Tensor, $"{name}/four"], [name]));
        edit.AddOutput(name);
        return name;
    }

    private static string WhyNone(OnnxModel model, GraphIndex index)
    {
        if (model.Graph.Nodes.Find(n => FusedAttention.IsFused(n)) is { } fused)
        {
            return FusedAttention.WhyNot(index, fused);
        }

        if (model.Graph.Nodes.SelectMany(n => n.Attributes).SelectMany(a => a.Graphs).Any(g => AttentionSites.Find(new GraphIndex(g), model.Opsets.GetValueOrDefault("")).Count > 0))
        {
            return "Attention is inside the branches of an If operator (a merged decoder). Use the file without past (decoder_model.onnx): set Models:{folder}:File, or export without merging.";
        }

        return "No Softmax over the last axis leads into a matrix product, so this graph computes no attention that can be read. Export the model with attn_implementation=eager.";
    }
}
