using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx.Proto;

namespace InferenceServer.Engine.Onnx;

/// <summary>
/// Attention inside the two branches of a merged decoder (Optimum's <c>decoder_model_merged.onnx</c>: an <c>If</c> on <c>use_cache_branch</c>): the probabilities of each
/// branch become further outputs of it, and of the operator.
/// </summary>
internal sealed class MergedBranches
{
    private const long MostBytes = 64L << 20; // of branches that hold no large weights; they are read whole
    private const string WithCache = "then_branch";
    private const string WithoutCache = "else_branch";
    private readonly OnnxModel model;
    private readonly OnnxNode node;
    private readonly GraphIndex index; // of the graph as it is without a cache
    private readonly List<AttentionSite> sites;
    private readonly List<AttentionSite> others; // the same places with a cache

    private MergedBranches(OnnxModel model, OnnxNode node, GraphIndex index, List<AttentionSite> sites, List<AttentionSite> others) =>
        (this.model, this.node, this.index, this.sites, this.others) = (model, node, index, sites, others);

    /// <summary>The branches of a graph; null when it has none that attend at the same places.</summary>
    public static MergedBranches? Of(OnnxModel model)
    {
        if (model.Graph.Nodes.FindAll(node => node.OpType == "If") is not [var node]
            || node.End - node.Start > MostBytes
            || node.Attribute(WithCache)?.Graphs is not [var with] || node.Attribute(WithoutCache)?.Graphs is not [var without])
        {
            return null;
        }

        var opset = model.Opsets.GetValueOrDefault("");
        var (index, other) = (Flat(model.Graph, node, without), Flat(model.Graph, node, with));
        var (sites, others) = (AttentionSites.Find(index, opset), AttentionSites.Find(other, opset));
        return sites.Count > 0 && sites.Count == others.Count && sites.Concat(others).All(site => site.Node.OpType == "Softmax") && sites.Zip(others).All(pair => pair.First.Rank == pair.Second.Rank)
            ? new MergedBranches(model, node, index, sites, others)
            : null;
    }

    /// <summary>Makes the probabilities outputs; where that cannot be, there are none, and <paramref name="unavailable"/> says why.</summary>
    public IReadOnlyList<AttentionOutput> Expose(ModelConfig config, GraphEdit edit, out string? unavailable)
    {
        unavailable = null;
        var kinds = new AttentionKinds(model, index, config, sites);
        var taps = new List<AttentionOutput>();
        var layers = new Dictionary<AttentionKind, int>();
        var changed = edit.Rewrite(node, node.Outputs);
        foreach (var (site, other) in sites.Zip(others))
        {
            var kind = kinds.Of(site);
            var name = $"{site.Tensor}/of_branch";
            if (AttentionOutputs.Expose(site with { Tensor = name }, AttentionOutputs.HeadsOf(kind, config), edit) is not { } output)
            {
                unavailable = AttentionOutputs.NoHeads(site);
                return [];
            }

            Branch(changed, WithoutCache).Output.Add(new ValueInfoProto { Name = site.Tensor });
            Branch(changed, WithCache).Output.Add(new ValueInfoProto { Name = other.Tensor });
            changed.Output.Add(name);
            var layer = layers.GetValueOrDefault(kind);
            layers[kind] = layer + 1;
            taps.Add(new AttentionOutput(layer, kind, output, site.Tensor));
        }

        edit.Replace(node, changed);
        return taps;
    }

    private static GraphProto Branch(NodeProto node, string name) => node.Attribute.First(attribute => attribute.Name == name).G;

    // The graph with the nodes of a branch in place of the operator.
    private static GraphIndex Flat(GraphData graph, OnnxNode node, GraphData branch)
    {
        var flat = new GraphData();
        flat.Nodes.AddRange(graph.Nodes.Where(other => other != node).Concat(branch.Nodes));
        flat.Inputs.AddRange(graph.Inputs);
        flat.Outputs.AddRange(branch.Outputs);
        foreach (var part in new[] { graph, branch })
        {
            foreach (var (name, tensor) in part.Initializers)
            {
                flat.Initializers[name] = tensor;
            }

            foreach (var (name, value) in part.Values)
            {
                flat.Values[name] = value;
            }
        }

        return new GraphIndex(flat);
    }
}
