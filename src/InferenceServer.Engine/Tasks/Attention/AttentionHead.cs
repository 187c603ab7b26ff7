using System.Numerics.Tensors;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>Describes a head in numbers.</summary>
internal static class AttentionHead
{
    /// <summary>The statistics of one head from its rows.</summary>
    /// <param name="layer">Layer.</param>
    /// <param name="head">Head.</param>
    /// <param name="matrix"><c>[S, stride]</c>: rows of queries, padded keys after the first S.</param>
    /// <param name="size">S.</param>
    /// <param name="stride">Values a row.</param>
    /// <param name="ids">The tokens.</param>
    /// <param name="special">Which tokens are special.</param>
    /// <param name="causal">Whether a query sees itself and what is before it only.</param>
    public static HeadStatistics Describe(int layer, int head, ReadOnlySpan<float> matrix, int size, int stride, ReadOnlySpan<int> ids, ReadOnlySpan<bool> special, bool causal)
    {
        const float Least = 1e-30f; // a logarithm of zero would spoil a product with zero
        double entropy = 0, largest = 0, distance = 0, toSpecial = 0, first = 0, previous = 0, next = 0, self = 0, repeated = 0;
        var logarithms = new float[size];
        var distances = new float[(2 * size) - 1]; // |i - (size - 1)|: of query q from size - 1 - q on
        for (var i = 0; i < distances.Length; i++)
        {
            distances[i] = Math.Abs(i - (size - 1));
        }

        var specials = new float[size];
        var same = new Dictionary<int, List<int>>();
        for (var k = 0; k < size; k++)
        {
            specials[k] = special[k] ? 1 : 0;
            (same.TryGetValue(ids[k], out var places) ? places : same[ids[k]] = []).Add(k);
        }

        for (var q = 0; q < size; q++)
        {
            var row = matrix.Slice(q * stride, size);
            TensorPrimitives.Max(row, Least, logarithms);
            TensorPrimitives.Log<float>(logarithms, logarithms);
            entropy -= TensorPrimitives.Dot<float>(row, logarithms);
            distance += TensorPrimitives.Dot<float>(row, distances.AsSpan(size - 1 - q, size));
            toSpecial += TensorPrimitives.Dot<float>(row, specials);
            foreach (var k in same[ids[q]])
            {
                repeated += k != q ? row[k] : 0;
            }

            largest += Math.Log(causal ? q + 1 : size);
            previous += q > 0 ? row[q - 1] : 0;
            next += q + 1 < size ? row[q + 1] : 0;
            self += row[q];
            first += row[0];
        }

        (string Name, double Share)[] shares = [("special", toSpecial / size), ("first", first / size), ("previous", previous / size), ("next", next / size), ("self", self / size), ("repeated", repeated / size)];
        var most = shares.MaxBy(share => share.Share);
        var pattern = most.Share > 0.5 ? most.Name : largest > 0 && entropy >= 0.9 * largest ? "broad" : null;
        return new HeadStatistics(
            layer,
            head,
            (float)(entropy / size),
            (float)(distance / size),
            (float)(toSpecial / size),
            (float)(first / size),
            (float)(previous / size),
            (float)(next / size),
            (float)(self / size),
            (float)(repeated / size),
            pattern);
    }
}
