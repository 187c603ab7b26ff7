using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Onnx;

/// <summary>Tells encoder, decoder and cross attention apart by where the values come from and by the mask.</summary>
internal sealed class AttentionKinds
{
    private readonly GraphIndex index;
    private readonly HashSet<string> tokenInputs;
    private readonly Dictionary<string, bool> fromTokens = new(StringComparer.Ordinal);
    private readonly AttentionKind self;

    public AttentionKinds(OnnxModel model, GraphIndex index, ModelConfig config, IReadOnlyList<AttentionSite> sites)
    {
        this.index = index;
        tokenInputs = TokenInputs(index);
        var isDecoder = index.FedInputs.Any(IsCache)
            || sites.Any(IsCross)
            || sites.Any(site => GivesCache(site.Value))
            || sites.Take(1).Any(site => site.IsCausal || CausalMask.IsBefore(model, index, site.Mask))
            || config.IsDecoder;
        self = isDecoder ? AttentionKind.Decoder : AttentionKind.Encoder;
    }

    public AttentionKind Of(AttentionSite site) => IsCross(site) ? AttentionKind.Cross : self;

    /// <summary>A cache of keys or values: floats <c>[batch, heads, past, head]</c> that a caller feeds.</summary>
    private static bool IsCache(GraphTensor input) =>
        input.Type is ElementType.Float or ElementType.Float16 or ElementType.BFloat16 && input.Shape is { Count: 4 or 5 };

    /// <summary>True when the values are an output of the graph, or are a few steps that move no number apart from one: a cache for the next token.</summary>
    private bool GivesCache(string value)
    {
        var outputs = index.Graph.Outputs.Where(o => o.Shape is null or { Count: 4 or 5 }).Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        var tensor = value;
        for (var hops = 0; hops < 16 && outputs.Count > 0; hops++)
        {
            if (outputs.Contains(tensor))
            {
                return true;
            }

            if (index.Producer(tensor) is not { OpType: "Reshape" or "Transpose" or "Expand" or "Unsqueeze" or "Squeeze" or "Concat" or "Cast" or "Identity" or "Mul" or "Where" } node)
            {
                return false;
            }

            tensor = node.OpType == "Where" || (node.OpType == "Concat" && node.Inputs.Count == 2) ? node.Input(1) : node.Input(0);
        }

        return false;
    }

    /// <summary>Cross attention: its values do not depend on the tokens of this graph, but on what another graph made of other tokens.</summary>
    private bool IsCross(AttentionSite site) => tokenInputs.Count > 0 && !FromTokens(site.Value);

    /// <summary>Inputs that are looked up in an embedding table.</summary>
    private static HashSet<string> TokenInputs(GraphIndex index)
    {
        var found = new HashSet<string>(StringComparer.Ordinal);
        foreach (var input in index.FedInputs.Where(i => i.Type is ElementType.Int64 or ElementType.Int32))
        {
            var pending = new Stack<string>([input.Name]);
            for (var hops = 0; hops < 64 && pending.TryPop(out var tensor); hops++)
            {
                foreach (var (node, at) in index.Consumers(tensor))
                {
                    if ((node.OpType is "Gather" && at == 1 && index.IsConstant(node.Input(0))) || node.OpType is "EmbedLayerNormalization" or "GatherBlockQuantized")
                    {
                        found.Add(input.Name);
                    }
                    else if (node.OpType is "Cast" or "Identity" or "Reshape" or "Unsqueeze" or "Squeeze" && at == 0)
                    {
                        pending.Push(node.Output(0));
                    }
                }
            }
        }

        return found;
    }

    private bool FromTokens(string tensor)
    {
        if (fromTokens.TryGetValue(tensor, out var known))
        {
            return known;
        }

        var seen = new HashSet<string>(StringComparer.Ordinal) { tensor };
        var pending = new Stack<string>([tensor]);
        var result = false;
        while (!result && pending.TryPop(out var at))
        {
            result = tokenInputs.Contains(at) || fromTokens.GetValueOrDefault(at);
            if (index.Producer(at) is { OpType: not ("Shape" or "Size") } node)
            {
                foreach (var input in node.Inputs.Where(i => i.Length > 0 && seen.Add(i)))
                {
                    pending.Push(input);
                }
            }
        }

        return fromTokens[tensor] = result;
    }
}
