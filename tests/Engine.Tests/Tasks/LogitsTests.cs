using InferenceServer.Engine.Tasks;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks;

public sealed class LogitsTests
{
    [Fact]
    public void Softmax_of_large_logits_does_not_overflow_and_adds_up_to_1()
    {
        var scores = Logits.Softmax([1000f, 999f, -1000f]);
        Assert.Equal(1, scores.Sum(), 6);
        Assert.Equal(1 / (1 + Math.Exp(-1)), scores[0], 6);
        Assert.Equal(0, scores[2]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1023)]
    [InlineData(1024)]
    [InlineData(1025)]
    [InlineData(50_000)]
    public void Log_sum_exp_equals_the_sum_in_double(int length)
    {
        var random = new Random(length);
        var values = Enumerable.Range(0, length).Select(_ => (float)((random.NextDouble() * 40) - 20)).ToArray();
        Assert.Equal(Math.Log(values.Sum(v => Math.Exp(v))), Logits.LogSumExp(values), 5);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(999)]
    [InlineData(1000)]
    [InlineData(5000)]
    public void Top_equals_a_stable_sort(int count)
    {
        var random = new Random(count);
        var values = Enumerable.Range(0, 1000).Select(_ => (float)random.Next(100)).ToArray();
        var sorted = Enumerable.Range(0, 1000).OrderByDescending(i => values[i]).Take(count);
        Assert.Equal(sorted, Logits.Top(values, count));
    }
}
