namespace InferenceServer.Engine.Scheduling;

/// <summary>What a batch may be at most.</summary>
/// <param name="Rows">Most rows.</param>
/// <param name="Tokens">Most padded tokens; a longer single row is a batch of its own.</param>
/// <param name="Bytes">Most bytes of outputs.</param>
/// <param name="EqualLengths">True when every row must have the same length.</param>
internal readonly record struct BatchLimits(int Rows, long Tokens, long Bytes, bool EqualLengths);

/// <summary>Batches <c>[Starts[k], Starts[k + 1])</c> over rows sorted by length, the last one up to the number of rows, and what all of them cost.</summary>
internal sealed record Partition(IReadOnlyList<int> Starts, double Cost)
{
    /// <summary>The batch that holds row <paramref name="index"/>, of <paramref name="count"/> rows.</summary>
    public (int From, int To) Around(int index, int count)
    {
        var k = 0;
        while (k + 1 < Starts.Count && Starts[k + 1] <= index)
        {
            k++;
        }

        return (Starts[k], k + 1 < Starts.Count ? Starts[k + 1] : count);
    }
}

/// <summary>
/// Cuts rows that are sorted by length into the batches whose predicted costs have the least sum: dynamic programming over the places to cut. Sorted, because a batch
/// is padded to its longest row: in some cheapest partition every batch is a range of the sorted rows.
/// </summary>
internal static class Packing
{
    /// <summary>Cuts.</summary>
    /// <param name="lengths">Padded lengths, ascending.</param>
    /// <param name="cost">What a run costs.</param>
    /// <param name="limits">What a batch may be.</param>
    /// <param name="bytes">Bytes of the outputs of so many rows of such a length.</param>
    /// <param name="mostCost">Most milliseconds of a batch of several rows.</param>
    public static Partition Cut(ReadOnlySpan<int> lengths, CostModel cost, BatchLimits limits, Func<int, int, long> bytes, double mostCost = double.PositiveInfinity)
    {
        var count = lengths.Length;
        var best = new double[count + 1]; // least cost of the first i rows
        var from = new int[count + 1]; // where the last batch of them starts
        for (var end = 1; end <= count; end++)
        {
            var length = lengths[end - 1];
            best[end] = double.PositiveInfinity;
            for (var start = end - 1; start >= 0; start--)
            {
                var rows = end - start;
                var run = cost.Of(rows, length);
                if (rows > 1 && (rows > limits.Rows || rows * (long)length > limits.Tokens || run > mostCost || (limits.EqualLengths && lengths[start] != length) || bytes(rows, length) > limits.Bytes))
                {
                    break; // every limit grows with the rows
                }

                if (best[start] + run < best[end])
                {
                    (best[end], from[end]) = (best[start] + run, start);
                }
            }
        }

        var starts = new List<int>();
        for (var end = count; end > 0; end = from[end])
        {
            starts.Add(from[end]);
        }

        starts.Reverse();
        return new Partition(starts, best[count]);
    }
}
