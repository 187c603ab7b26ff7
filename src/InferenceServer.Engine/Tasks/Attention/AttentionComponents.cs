using System.Numerics.Tensors;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>What led to the probabilities of the chosen layers and heads.</summary>
/// <param name="Tensors">The tensors that were asked for, row-major: q and context <c>[layer, head, query, d]</c>, k and v <c>[layer, head, key, d]</c>, scores <c>[layer, head, query, key]</c>.</param>
/// <param name="Scale">What each layer multiplies the products of q and k with, one a layer; empty unless q, k and scores are there, null where scores are more than a multiple of the products.</param>
public sealed record AttentionComponents(IReadOnlyList<AttentionComponent> Tensors, IReadOnlyList<double?> Scale)
{
    /// <summary>The tensors with the scale that is in them.</summary>
    internal static AttentionComponents Of(IReadOnlyList<AttentionComponent> tensors) => new(tensors, AttentionScale.Of(tensors));
}

/// <summary>One of them.</summary>
/// <param name="Part">What it is.</param>
/// <param name="Shape">Length of each axis.</param>
/// <param name="Values">The numbers.</param>
public sealed record AttentionComponent(AttentionPart Part, IReadOnlyList<int> Shape, float[] Values);

/// <summary>The factor between products and scores, found from the numbers: exports write it in many ways.</summary>
internal static class AttentionScale
{
    private const double Tolerance = 1e-4;
    private const int Enough = 64; // queries and keys of a head that tell it

    /// <summary>One factor a layer, by least squares over all heads.</summary>
    public static IReadOnlyList<double?> Of(IReadOnlyList<AttentionComponent> components)
    {
        AttentionComponent? Find(AttentionPart part) => components.FirstOrDefault(component => component.Part == part);
        if (Find(AttentionPart.Q) is not { } q || Find(AttentionPart.K) is not { } k || Find(AttentionPart.Scores) is not { } scores)
        {
            return [];
        }

        var (layers, heads, queries, keys, d) = (q.Shape[0], q.Shape[1], q.Shape[2], k.Shape[2], q.Shape[3]);
        var found = new double?[layers];
        for (var layer = 0; layer < layers; layer++)
        {
            double both = 0, squares = 0, targets = 0;
            for (var block = layer * heads; block < (layer + 1) * heads; block++)
            {
                for (var i = 0; i < Math.Min(queries, Enough); i++)
                {
                    for (var j = 0; j < Math.Min(keys, Enough); j++)
                    {
                        double product = TensorPrimitives.Dot(q.Values.AsSpan(((block * queries) + i) * d, d), k.Values.AsSpan(((block * keys) + j) * d, d));
                        double score = scores.Values[(((block * queries) + i) * keys) + j];
                        both += product * score;
                        squares += product * product;
                        targets += score * score;
                    }
                }
            }

            if (squares > 0 && both / squares is var scale && targets - (scale * both) <= Tolerance * targets)
            {
                // 1 / sqrt(d) and 1 are meant where they are met to rounding.
                double[] usual = [1 / Math.Sqrt(d), 1];
                found[layer] = usual.Cast<double?>().FirstOrDefault(one => Math.Abs(one!.Value - scale) <= Tolerance * one.Value) ?? scale;
            }
        }

        return found;
    }
}
