using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Onnx;

/// <summary>Self-attention of a decoder's layer over its cache, written in plain operators: what <c>com.microsoft GroupQueryAttention</c> computes in one.</summary>
/// <param name="Query">Queries before they are turned and split into heads.</param>
/// <param name="Key">Keys, the same.</param>
/// <param name="Value">Values, the same.</param>
/// <param name="PastKey">The graph's input of earlier keys <c>[batch, heads, past, head]</c>.</param>
/// <param name="PastValue">The graph's input of earlier values.</param>
/// <param name="PresentKey">The node that puts keys together.</param>
/// <param name="PresentValue">The node that puts values together.</param>
/// <param name="Result">The node that gives <c>[batch, sequence, heads * head]</c>.</param>
/// <param name="Rotation">How queries and keys are turned by their positions; null where they are not.</param>
internal sealed record CachedAttention(Projection Query, Projection Key, Projection Value, GraphTensor PastKey, GraphTensor PastValue, OnnxNode PresentKey, OnnxNode PresentValue, OnnxNode Result, Rotation? Rotation)
{
    private const int LongestWalk = 64; // tensors between two places that belong together
    private const int LongestTurn = 6; // operators between a vector and its turned half
    private static readonly long[] HeadsFirst = [0, 2, 1, 3];
    private static readonly HashSet<string> Moves = ["Reshape", "Expand", "Unsqueeze", "Squeeze", "Transpose", "Cast", "Identity", "Tile"];
    private static readonly HashSet<string> Scales = ["Mul", "Div", "Cast", "Identity", "Reshape", "Unsqueeze", "Expand", "Transpose"];
    private static readonly HashSet<string> Masks = ["Add", "Sub", "Mul", "Div", "Where", "Cast", "Identity", "Max", "Min", "Clip", "Reshape", "Squeeze", "Unsqueeze"];
    private static readonly HashSet<string> Turns = ["Concat", "Neg", "Slice", "Split", "Mul", "Identity", "Cast", "Gather"];

    /// <summary>Every layer, in their order; null when the graph attends anywhere otherwise.</summary>
    public static IReadOnlyList<CachedAttention>? Find(GraphIndex index, long opset)
    {
        var pasts = index.FedInputs.Where(input => input is { Shape.Count: 4 } && input.Name.StartsWith("past", StringComparison.Ordinal)).DistinctBy(input => input.Name).ToDictionary(input => input.Name, StringComparer.Ordinal);
        if (pasts.Count == 0 || AttentionSites.Find(index, opset) is not { } sites || sites.Count * 2 != pasts.Count)
        {
            return null;
        }

        var layers = new List<CachedAttention>();
        foreach (var site in sites)
        {
            if (Of(index, site, pasts) is not { } layer)
            {
                return null;
            }

            layers.Add(layer);
        }

        return layers.SelectMany(layer => new[] { layer.PastKey.Name, layer.PastValue.Name }).Distinct().Count() == pasts.Count ? layers : null;
    }

    private static CachedAttention? Of(GraphIndex index, AttentionSite site, Dictionary<string, GraphTensor> pasts)
    {
        bool IsCache(OnnxNode node) => node is { OpType: "Concat", Inputs.Count: 2 } && pasts.ContainsKey(node.Input(0)) && index.Graph.Outputs.Any(output => output.Name == node.Output(0));
        if (site.Node.OpType != "Softmax"
            || Upstream(index, site.Value, IsCache, Moves) is not { } values
            || Upstream(index, site.Mask, node => node.OpType == "MatMul" && !index.IsConstant(node.Input(1)), Masks) is not { } scores
            || Upstream(index, scores.Input(1), IsCache, [.. Moves, .. Scales]) is not { } keys
            || ResultOf(index, site.Value) is not { } result
            || Upstream(index, scores.Input(0), node => IsHeadsFirst(node) || RotationOf(index, node) is not null, Scales) is not { } query
            || index.Producer(keys.Input(1)) is not { } key
            || index.Producer(values.Input(1)) is not { } value)
        {
            return null;
        }

        var (turnedQuery, turnedKey) = (RotationOf(index, query), RotationOf(index, key));
        if (turnedQuery?.Rotation != turnedKey?.Rotation
            || Projection.Of(index, turnedQuery is { } q ? index.Producer(q.Input) : query) is not { } queries
            || Projection.Of(index, turnedKey is { } k ? index.Producer(k.Input) : key) is not { } ownKeys
            || Projection.Of(index, value) is not { } ownValues)
        {
            return null;
        }

        return new CachedAttention(queries, ownKeys, ownValues, pasts[keys.Input(0)], pasts[values.Input(0)], keys, values, result, turnedKey?.Rotation);
    }

    internal static bool IsHeadsFirst(OnnxNode node) => node.OpType == "Transpose" && node.Attribute("perm")?.Integers.SequenceEqual(HeadsFirst) == true;

    // The product with the values, heads last again, put together.
    private static OnnxNode? ResultOf(GraphIndex index, string value)
    {
        var node = index.Consumers(value).FirstOrDefault(user => user.Input == 1 && user.Node.OpType == "MatMul").Node;
        var turned = false;
        for (var hops = 0; node is not null && hops < 6; hops++)
        {
            node = index.Consumers(node.Output(0)).Where(user => user.Node.OpType != "Shape").ToList() is [var (next, input)] && input == 0 ? next : null;
            switch (node?.OpType)
            {
                case "Transpose" when IsHeadsFirst(node) && !turned:
                    turned = true;
                    break;
                case "Reshape" when turned:
                    return node;
                case "Reshape" or "Cast" or "Identity":
                    break;
                default:
                    return null;
            }
        }

        return null;
    }

    // x * cos + turned(x) * sin, where turned(x) is made of x alone.
    private static (Rotation Rotation, string Input)? RotationOf(GraphIndex index, OnnxNode node)
    {
        if (node.OpType != "Add" || index.Producer(node.Input(0)) is not { OpType: "Mul" } one || index.Producer(node.Input(1)) is not { OpType: "Mul" } other)
        {
            return null;
        }

        foreach (var (straight, turned) in new[] { (one, other), (other, one) })
        {
            for (var i = 0; i < 4; i++)
            {
                var (x, y) = (straight.Input(i & 1), turned.Input(i >> 1));
                if (x != y && index.Producer(y) is { OpType: "Concat" or "Mul" } && Reaches(index, y, x) && !Reaches(index, straight.Input(1 - (i & 1)), x))
                {
                    return (new Rotation(straight.Input(1 - (i & 1)), turned.Input(1 - (i >> 1))), x);
                }
            }
        }

        return null;
    }

    private static bool Reaches(GraphIndex index, string from, string to, int hops = 0) =>
        from == to || (hops < LongestTurn && index.Producer(from) is { } node && Turns.Contains(node.OpType) && node.Inputs.Exists(input => input.Length > 0 && Reaches(index, input, to, hops + 1)));

    // The nearest node before a tensor that is looked for, through operators of these kinds and through what they compute on, not through shapes.
    private static OnnxNode? Upstream(GraphIndex index, string tensor, Func<OnnxNode, bool> isIt, HashSet<string> through)
    {
        var pending = new Queue<string>([tensor]);
        for (var hops = 0; hops < LongestWalk && pending.TryDequeue(out var at); hops++)
        {
            if (index.Producer(at) is not { } node)
            {
                continue;
            }

            if (isIt(node))
            {
                return node;
            }

            if (through.Contains(node.OpType))
            {
                foreach (var input in node.OpType switch { "Where" => node.Inputs.Skip(1), "Add" or "Sub" or "Mul" or "Div" or "Max" or "Min" => node.Inputs, _ => node.Inputs.Take(1) })
                {
                    pending.Enqueue(input);
                }
            }
        }

        return null;
    }
}

/// <summary>A projection that attention splits into heads.</summary>
/// <param name="Tensor">The tensor: <c>[batch, sequence, heads * head]</c>, or with an axis for the heads.</param>
/// <param name="HasHeads">True with that axis.</param>
internal readonly record struct Projection(string Tensor, bool HasHeads)
{
    /// <summary>What stands before heads are put first; null when <paramref name="node"/> is not where that happens.</summary>
    public static Projection? Of(GraphIndex index, OnnxNode? node)
    {
        if (node is null || !CachedAttention.IsHeadsFirst(node))
        {
            return null;
        }

        return index.Producer(node.Input(0)) is { OpType: "Reshape" } split && index.Rank(split.Input(0)) is null or 3 ? new Projection(split.Input(0), false) : new Projection(node.Input(0), true);
    }
}

/// <summary>Rotary positions (Su et al. 2021, https://arxiv.org/abs/2104.09864), the second half of a head turned against the first.</summary>
/// <param name="Cos">The tensor of cosines, which the graph makes of the positions.</param>
/// <param name="Sin">The tensor of sines.</param>
internal sealed record Rotation(string Cos, string Sin);
