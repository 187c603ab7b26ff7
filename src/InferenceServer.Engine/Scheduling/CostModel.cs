namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// What a run costs: <c>a + b * rows * length + c * rows * length^2</c> milliseconds. The first term is what every run pays (and what small matrix products lose),
/// the second the weights' part, the third attention's.
/// </summary>
/// <param name="A">Milliseconds of a run.</param>
/// <param name="B">Milliseconds of a padded token.</param>
/// <param name="C">Milliseconds of a padded token for each token of its row.</param>
internal readonly record struct CostModel(double A, double B, double C)
{
    /// <summary>Before anything was measured: a run costs as much as 12 tokens, and a row of 1,000 tokens twice as much a token as a short one.</summary>
    public static CostModel Assumed { get; } = OfToken(0.2);

    /// <summary>A model by the milliseconds of one token.</summary>
    public static CostModel OfToken(double milliseconds) => new(12 * milliseconds, milliseconds, milliseconds / 1000);

    /// <summary>Milliseconds of a run of <paramref name="rows"/> rows padded to <paramref name="length"/>.</summary>
    public double Of(int rows, int length) => A + (rows * (double)length * (B + (C * length)));

    /// <summary>The model of the same graph on <paramref name="threads"/> threads, before it was measured.</summary>
    public CostModel OnThreads(int threads) => threads == 1 ? this : new(A, B * 1.15 / threads, C * 1.15 / threads);

    /// <summary>
    /// Least squares of relative errors over measured runs; a term that would be negative is left out. The assumed model where nothing can be fitted.
    /// </summary>
    public static CostModel Fit(IReadOnlyList<(int Rows, int Length, double Milliseconds)> runs)
    {
        // All three terms, else fewer: the first set whose factors are all above zero.
        foreach (var terms in (int[][])[[0, 1, 2], [0, 1], [1, 2], [1]])
        {
            if (runs.Count >= terms.Length && Solve(runs, terms) is { } found)
            {
                return new CostModel(found[0], found[1], found[2]);
            }
        }

        return Assumed;
    }

    private static double[]? Solve(IReadOnlyList<(int Rows, int Length, double Milliseconds)> runs, int[] terms)
    {
        var size = terms.Length;
        var matrix = new double[size, size + 1];
        foreach (var (rows, length, milliseconds) in runs)
        {
            double[] values = [1, rows * (double)length, rows * (double)length * length];
            for (var i = 0; i < size; i++)
            {
                var scaled = values[terms[i]] / (milliseconds * milliseconds);
                for (var j = 0; j < size; j++)
                {
                    matrix[i, j] += scaled * values[terms[j]];
                }

                matrix[i, size] += scaled * milliseconds;
            }
        }

        return Eliminate(matrix, size) is { } solved && solved.All(v => double.IsFinite(v) && v > 0) ? Placed(solved, terms) : null;
    }

    private static double[] Placed(double[] solved, int[] terms)
    {
        var all = new double[3];
        for (var i = 0; i < terms.Length; i++)
        {
            all[terms[i]] = solved[i];
        }

        return all;
    }

    // Gauss-Jordan with the largest pivot; null for a singular matrix.
    private static double[]? Eliminate(double[,] m, int size)
    {
        for (var column = 0; column < size; column++)
        {
            var pivot = column;
            for (var row = column + 1; row < size; row++)
            {
                pivot = Math.Abs(m[row, column]) > Math.Abs(m[pivot, column]) ? row : pivot;
            }

            if (Math.Abs(m[pivot, column]) < 1e-300)
            {
                return null;
            }

            for (var k = 0; k <= size; k++)
            {
                (m[column, k], m[pivot, k]) = (m[pivot, k], m[column, k]);
            }

            for (var row = 0; row < size; row++)
            {
                var factor = row == column ? 0 : m[row, column] / m[column, column];
                for (var k = column; factor != 0 && k <= size; k++)
                {
                    m[row, k] -= factor * m[column, k];
                }
            }
        }

        return [.. Enumerable.Range(0, size).Select(i => m[i, size] / m[i, i])];
    }
}
