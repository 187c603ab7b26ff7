using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Onnx;

/// <summary>A place of the graph where attention probabilities can be read.</summary>
/// <param name="Node">The Softmax, or the fused operator.</param>
/// <param name="Tensor">The tensor to expose; for a fused operator the result it has in the file.</param>
/// <param name="Rank">Axes of the tensor, or null when the file does not say.</param>
/// <param name="Value">What the probabilities are multiplied with.</param>
/// <param name="Mask">The masked scores, or the mask that a fused operator takes; empty when there is none.</param>
/// <param name="IsCausal">True when the operator itself is causal.</param>
internal sealed record AttentionSite(OnnxNode Node, string Tensor, int? Rank, string Value, string Mask, bool IsCausal = false)
{
    /// <summary>The product of the probabilities with the values; null for a fused operator.</summary>
    public OnnxNode? Product { get; init; }
}

/// <summary>
/// Finds attention by what the graph computes, never by names: a Softmax over the last axis whose result, possibly after
/// Cast, Where (the guard of fully masked rows), Reshape, Dropout, Identity or a quantisation, is the left factor of a matrix product with
/// something that is not a weight.
/// </summary>
internal static class AttentionSites
{
    private static readonly HashSet<string> Passed =
        ["Cast", "CastLike", "Where", "Reshape", "Dropout", "Identity", "DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear", "Squeeze", "Unsqueeze", "Slice"];

    /// <summary>Most steps between Softmax and product; exporters write three.</summary>
    private const int LongestWalk = 16;

    private static readonly HashSet<string> Products = ["MatMul", "MatMulInteger", "FusedMatMul", "QLinearMatMul", "MatMulIntegerToFloat"];

    /// <summary>Sites of a graph, in the order of computation.</summary>
    public static List<AttentionSite> Find(GraphIndex index, long opset)
    {
        var sites = new List<AttentionSite>();
        foreach (var node in InOrder(index))
        {
            var site = node.OpType == "Softmax" && node.IsStandard
                ? IsOverLastAxis(index, node, opset) ? Walk(index, node) : null
                : FusedAttention.Site(index, node);
            if (site is not null)
            {
                sites.Add(site);
            }
        }

        return sites;
    }

    /// <summary>Nodes in the order of computation: the file's order where that is one (the specification demands it), else sorted.</summary>
    public static IEnumerable<OnnxNode> InOrder(GraphIndex index)
    {
        var done = new HashSet<OnnxNode>(ReferenceEqualityComparer.Instance);
        var pending = new Stack<(OnnxNode Node, int Next)>();
        foreach (var root in index.Graph.Nodes)
        {
            if (!done.Add(root))
            {
                continue;
            }

            pending.Push((root, 0));
            while (pending.TryPop(out var top))
            {
                if (top.Next < top.Node.Inputs.Count)
                {
                    pending.Push((top.Node, top.Next + 1));
                    if (index.Producer(top.Node.Inputs[top.Next]) is { } before && done.Add(before))
                    {
                        pending.Push((before, 0));
                    }
                }
                else
                {
                    yield return top.Node;
                }
            }
        }
    }

    private static bool IsOverLastAxis(GraphIndex index, OnnxNode softmax, long opset)
    {
        var rank = index.Rank(softmax.Output(0)) ?? index.Rank(softmax.Input(0));
        var axis = softmax.Attribute("axis")?.Integer ?? (opset >= 13 ? -1 : 1);
        return rank is null ? axis is -1 or 2 or 3 : rank >= 3 && (axis == -1 || axis == rank - 1);
    }

    private static AttentionSite? Walk(GraphIndex index, OnnxNode softmax)
    {
        var paths = new Queue<List<string>>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        paths.Enqueue([softmax.Output(0)]);
        while (paths.TryDequeue(out var path))
        {
            foreach (var (node, input) in index.Consumers(path[^1]))
            {
                if (Products.Contains(node.OpType) || IsProduct(node))
                {
                    var right = node.OpType == "QLinearMatMul" ? node.Input(3) : node.Input(1);
                    if (input == 0 && !index.IsConstant(right))
                    {
                        return Site(index, softmax, path, right) with { Product = node };
                    }
                }
                else if (Passed.Contains(node.OpType) && path.Count < LongestWalk && (node.OpType == "Where" ? input is 1 or 2 : input == 0) && node.Output(0) is { Length: > 0 } next && seen.Add(next))
                {
                    paths.Enqueue([.. path, next]);
                }
            }
        }

        return null;
    }

    /// <summary>An Einsum of two factors that sums over the last axis of the first one.</summary>
    private static bool IsProduct(OnnxNode node)
    {
        if (node.OpType != "Einsum" || node.Inputs.Count != 2 || node.Attribute("equation")?.Text is not { } equation)
        {
            return false;
        }

        var sides = equation.Replace(" ", "", StringComparison.Ordinal).Split("->");
        var factors = sides[0].Split(',');
        return sides.Length == 2 && factors.Length == 2 && factors[0].Length > 0 && factors[1].Contains(factors[0][^1], StringComparison.Ordinal) && !sides[1].Contains(factors[0][^1], StringComparison.Ordinal);
    }

    /// <summary>The last tensor of four axes before the product that holds floats; else the last one at all that holds floats.</summary>
    private static AttentionSite Site(GraphIndex index, OnnxNode softmax, List<string> path, string value)
    {
        string? four = null, last = null;
        foreach (var tensor in path)
        {
            if (tensor != path[0] && index.Producer(tensor)?.OpType is "DynamicQuantizeLinear" or "QuantizeLinear")
            {
                break;
            }

            last = tensor;
            if (index.Rank(tensor) == 4)
            {
                four = tensor;
            }
        }

        return four is null
            ? new AttentionSite(softmax, last!, index.Rank(last!), value, softmax.Input(0))
            : new AttentionSite(softmax, four, 4, value, softmax.Input(0));
    }
}
