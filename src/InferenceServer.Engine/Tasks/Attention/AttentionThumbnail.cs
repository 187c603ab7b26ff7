namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>Pictures of matrices in few cells: each cell is the largest of those that it stands for, so that nothing strong is lost.</summary>
internal static class AttentionThumbnail
{
    /// <summary>Cells of a side.</summary>
    public static int Side(int length, int most) => Math.Min(length, most);

    /// <summary>Pools every matrix <c>[queries, keys]</c> to at most <paramref name="most"/> cells a side. Cell i of n stands for <c>[floor(i length / n), ceil((i + 1) length / n))</c>, as in PyTorch's AdaptiveMaxPool2d.</summary>
    public static float[] Pool(ReadOnlySpan<float> values, int queries, int keys, int most)
    {
        var (height, width) = (Side(queries, most), Side(keys, most));
        var pooled = new float[values.Length / queries / keys * height * width];
        for (int m = 0, at = 0; at < values.Length; m++, at += queries * keys)
        {
            Pool(values.Slice(at, queries * keys), queries, keys, pooled.AsSpan(m * height * width, height * width), height, width);
        }

        return pooled;
    }

    /// <summary>Pools one matrix.</summary>
    public static void Pool(ReadOnlySpan<float> matrix, int queries, int keys, Span<float> target, int height, int width)
    {
        if (height == queries && width == keys)
        {
            matrix.CopyTo(target);
            return;
        }

        target.Fill(float.NegativeInfinity);
        for (var i = 0; i < height; i++)
        {
            var row = target.Slice(i * width, width);
            for (var q = i * queries / height; q < (((i + 1) * queries) + height - 1) / height; q++)
            {
                var source = matrix.Slice(q * keys, keys);
                for (var j = 0; j < width; j++)
                {
                    var most = row[j];
                    for (var k = j * keys / width; k < (((j + 1) * keys) + width - 1) / width; k++)
                    {
                        most = Math.Max(most, source[k]); // a value that is no number stays one, and is told
                    }

                    row[j] = most;
                }
            }
        }
    }
}
