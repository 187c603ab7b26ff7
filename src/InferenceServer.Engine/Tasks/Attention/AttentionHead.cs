using System.Numerics.Tensors;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>Describes the heads of one sequence in numbers. What all of them share is prepared once. Used by one thread.</summary>
internal sealed class AttentionHead
{
    private const float Least = 1e-30f; // a logarithm of zero would spoil a product with zero

    private readonly int size;
    private readonly bool causal;
    private readonly float[] special; // 1 or 0 by token
    private readonly int[][] same; // of each token the places with the same one, its own among them
    private readonly float[] distances; // |i - (size - 1)|: of query q from size - 1 - q on
    private readonly float[] logarithms; // of the row that is read

    /// <summary>Prepares for the tokens of a sequence.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <param name="causal">Whether a query sees itself and what is before it only.</param>
    public AttentionHead(IReadOnlyList<AttentionToken> tokens, bool causal)
    {
        this.causal = causal;
        size = tokens.Count;
        special = [.. tokens.Select(token => token.Special ? 1f : 0)];
        var places = tokens.Select((token, at) => (token.Id, at)).GroupBy(one => one.Id).ToDictionary(group => group.Key, group => group.Select(one => one.at).ToArray());
        same = [.. tokens.Select(token => places[token.Id])];
        distances = [.. Enumerable.Range(0, (2 * size) - 1).Select(i => (float)Math.Abs(i - (size - 1)))];
        logarithms = new float[size];
    }

    /// <summary>The statistics of one head from its rows.</summary>
    /// <param name="layer">Layer.</param>
    /// <param name="head">Head.</param>
    /// <param name="matrix"><c>[S, stride]</c>: rows of queries, padded keys after the first S.</param>
    /// <param name="stride">Values a row.</param>
    public HeadStatistics Describe(int layer, int head, ReadOnlySpan<float> matrix, int stride)
    {
        double entropy = 0, largest = 0, distance = 0, toSpecial = 0, first = 0, previous = 0, next = 0, self = 0, repeated = 0;
        for (var q = 0; q < size; q++)
        {
            var row = matrix.Slice(q * stride, size);
            TensorPrimitives.Max(row, Least, logarithms);
            TensorPrimitives.Log<float>(logarithms, logarithms);
            entropy -= TensorPrimitives.Dot<float>(row, logarithms);
            distance += TensorPrimitives.Dot<float>(row, distances.AsSpan(size - 1 - q, size));
            toSpecial += TensorPrimitives.Dot<float>(row, special);
            foreach (var k in same[q])
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
