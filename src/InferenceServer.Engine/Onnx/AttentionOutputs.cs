using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx.Proto;

namespace InferenceServer.Engine.Onnx;

/// <summary>Turns the places where attention is computed into outputs <c>[batch, heads, query, key]</c>, and says whose attention each is.</summary>
internal static class AttentionOutputs
{
    private const int MostSites = 2048;

    /// <summary>Adds the outputs.</summary>
    /// <param name="model">The file.</param>
    /// <param name="index">Its graph.</param>
    /// <param name="config">config.json.</param>
    /// <param name="edit">What they are added to.</param>
    /// <param name="unavailable">Why there are none; null when there are.</param>
    /// <param name="parts">Takes what leads to the probabilities; null: it is not looked for.</param>
    /// <param name="partsEdit">What those outputs are added to; null: <paramref name="edit"/>.</param>
    public static IReadOnlyList<AttentionOutput> Add(OnnxModel model, GraphIndex index, ModelConfig config, GraphEdit edit, out string? unavailable, List<AttentionPartOutput>? parts = null, GraphEdit? partsEdit = null)
    {
        var sites = AttentionSites.Find(index, model.Opsets.GetValueOrDefault(""));
        unavailable = null;
        if (sites.Count == 0 && MergedBranches.Of(model) is { } branches)
        {
            return branches.Expose(config, edit, out unavailable);
        }

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
        var taps = new List<AttentionOutput>();
        var layers = new Dictionary<AttentionKind, int>();
        foreach (var site in sites)
        {
            var kind = kinds.Of(site);
            var heads = HeadsOf(kind, config);
            if ((FusedAttention.IsFused(site.Node) ? FusedAttention.Expose(model, index, site.Node, edit) : Expose(site, heads, edit)) is not { } output)
            {
                unavailable = NoHeads(site);
                return [];
            }

            var layer = layers.GetValueOrDefault(kind);
            layers[kind] = layer + 1;
            taps.Add(new AttentionOutput(layer, kind, output, site.Tensor));
            parts?.AddRange(AttentionParts.Add(index, site, taps[^1], partsEdit ?? edit));
        }

        return taps;
    }

    /// <summary>What is said where nothing says how many heads there are.</summary>
    internal static string NoHeads(AttentionSite site) =>
        $"The probabilities of tensor {site.Tensor} are [batch * heads, query, key] and config.json does not say how many heads there are. Add num_attention_heads to config.json.";

    /// <summary>How many heads a kind has, as far as config.json says.</summary>
    internal static int? HeadsOf(AttentionKind kind, ModelConfig config) => kind == AttentionKind.Encoder ? config.Heads : config.DecoderHeads ?? config.Heads;

    /// <summary>Makes the tensor of a site an output <c>[batch, heads, query, key]</c> and returns its name; null when nothing says how many heads there are.</summary>
    internal static string? Expose(AttentionSite site, int? heads, GraphEdit edit)
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
        edit.AddInitializer(TensorProto.Of($"{name}/heads", -1, heads.Value));
        edit.AddInitializer(TensorProto.Of($"{name}/from", -2));
        edit.AddInitializer(TensorProto.Of($"{name}/to", long.MaxValue));
        edit.AddNode(new NodeProto { OpType = "Shape", Input = { site.Tensor }, Output = { $"{name}/shape" } });
        edit.AddNode(new NodeProto { OpType = "Slice", Input = { $"{name}/shape", $"{name}/from", $"{name}/to" }, Output = { $"{name}/last" } });
        edit.AddNode(new NodeProto { OpType = "Concat", Input = { $"{name}/heads", $"{name}/last" }, Output = { $"{name}/four" }, Attribute = { AttributeProto.Of("axis", 0) } });
        edit.AddNode(new NodeProto { OpType = "Reshape", Input = { site.Tensor, $"{name}/four" }, Output = { name } });
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
