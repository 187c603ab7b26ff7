using CsCheck;
using InferenceServer.Engine.Scheduling;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>Cuts of sorted rows: nothing lost or twice, bounds held, and never dearer than what else could be done.</summary>
public sealed class PackingTests
{
    private static readonly Gen<int[]> Lengths = Gen.Int[1, 512].Array[1, 80].Select(lengths => lengths.Order().ToArray());
    private static readonly Gen<CostModel> Costs = Gen.Select(Gen.Double[0, 10], Gen.Double[0.001, 1], Gen.Double[0, 0.01], (a, b, c) => new CostModel(a, b, c));
    private static readonly Gen<BatchLimits> Limits = Gen.Select(Gen.Int[1, 40], Gen.Long[1, 4000], Gen.Long[1, 1_000_000], Gen.Bool, (rows, tokens, bytes, equal) => new BatchLimits(rows, tokens, bytes, equal));

    [Fact]
    public void Every_row_is_in_one_batch_and_every_batch_within_its_bounds() => Gen.Select(Lengths, Costs, Limits, Gen.Double[0.1, 500]).Sample((lengths, cost, limits, most) =>
    {
        var partition = Packing.Cut(lengths, cost, limits, Bytes, most);

        Assert.Equal(0, partition.Starts[0]);
        Assert.Equal(partition.Starts.Distinct().Order(), partition.Starts);
        var sum = 0.0;
        foreach (var (from, to) in Batches(partition, lengths.Length))
        {
            var (rows, length) = (to - from, lengths[to - 1]);
            Assert.True(rows > 0);
            sum += cost.Of(rows, length);
            if (rows > 1)
            {
                Assert.True(rows <= limits.Rows && (long)rows * length <= limits.Tokens && Bytes(rows, length) <= limits.Bytes && cost.Of(rows, length) <= most);
                Assert.True(!limits.EqualLengths || lengths[from] == length);
            }
        }

        Assert.Equal(sum, partition.Cost, 1e-6 * sum);
        for (var i = 0; i < lengths.Length; i++)
        {
            var (from, to) = partition.Around(i, lengths.Length);
            Assert.True(from <= i && i < to);
        }
    });

    [Fact]
    public void Never_dearer_than_one_padded_batch_or_each_row_alone() => Gen.Select(Lengths, Costs).Sample((lengths, cost) =>
    {
        var partition = Packing.Cut(lengths, cost, new BatchLimits(int.MaxValue, long.MaxValue, long.MaxValue, false), Bytes);

        Assert.True(partition.Cost <= cost.Of(lengths.Length, lengths[^1]) * (1 + 1e-9));
        Assert.True(partition.Cost <= lengths.Sum(length => cost.Of(1, length)) * (1 + 1e-9));
    });

    [Fact]
    public void The_cheapest_of_all_cuts_is_found() => Gen.Select(Gen.Int[1, 100].Array[1, 9].Select(l => l.Order().ToArray()), Costs, Limits).Sample((lengths, cost, limits) =>
    {
        var least = double.PositiveInfinity;
        for (var cuts = 0; cuts < 1 << (lengths.Length - 1); cuts++)
        {
            int[] starts = [0, .. Enumerable.Range(1, lengths.Length - 1).Where(i => (cuts & (1 << (i - 1))) != 0)];
            var batches = Batches(new Partition(starts, 0), lengths.Length).ToList();
            if (batches.All(b => b.To - b.From == 1 || (b.To - b.From <= limits.Rows && (long)(b.To - b.From) * lengths[b.To - 1] <= limits.Tokens
                && Bytes(b.To - b.From, lengths[b.To - 1]) <= limits.Bytes && (!limits.EqualLengths || lengths[b.From] == lengths[b.To - 1]))))
            {
                least = Math.Min(least, batches.Sum(b => cost.Of(b.To - b.From, lengths[b.To - 1])));
            }
        }

        Assert.Equal(least, Packing.Cut(lengths, cost, limits, Bytes).Cost, 1e-6 * least);
    });

    [Fact]
    public void Runs_of_a_known_cost_are_fitted() => Costs.Sample(cost =>
    {
        (int Rows, int Length)[] shapes = [(1, 16), (1, 64), (4, 16), (8, 24), (2, 96), (1, 320)];
        var fitted = CostModel.Fit([.. shapes.Select(s => (s.Rows, s.Length, cost.Of(s.Rows, s.Length)))]);
        Assert.All(shapes, s => Assert.Equal(1, fitted.Of(s.Rows, s.Length) / cost.Of(s.Rows, s.Length), 0.02));
    });

    [Theory]
    [InlineData(5)]
    [InlineData(100)]
    public void What_cannot_be_fitted_by_all_terms_is_fitted_by_fewer(double milliseconds)
    {
        var cost = CostModel.Fit([(1, 16, milliseconds), (1, 64, milliseconds), (4, 64, milliseconds)]); // as if length cost nothing
        Assert.True(cost is { A: >= 0, B: >= 0, C: >= 0 } && cost.Of(1, 32) > 0);
        Assert.Equal(CostModel.Assumed, CostModel.Fit([]));
    }

    private static long Bytes(int rows, int length) => 100L * rows * length;

    private static IEnumerable<(int From, int To)> Batches(Partition partition, int count) =>
        partition.Starts.Select((start, k) => (start, k + 1 < partition.Starts.Count ? partition.Starts[k + 1] : count));
}
