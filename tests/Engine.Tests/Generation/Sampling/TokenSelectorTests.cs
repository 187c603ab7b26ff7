using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Generation.Sampling;
using Xunit;

namespace InferenceServer.Engine.Tests.Generation.Sampling;

/// <summary>Drawn tokens against the closed form of each setting, and the formulas of the penalties.</summary>
public sealed class TokenSelectorTests
{
    private const int Draws = 100_000;
    private static readonly float[] Logits = [2.0f, 1.5f, 1.0f, 0.5f, 0.0f, -0.5f, -1.0f, -3.0f, float.NegativeInfinity];

    public static TheoryData<float, int, float, float, float> Settings() => new()
    {
        { 1, 0, 1, 0, 1 }, { 0.5f, 0, 1, 0, 1 }, { 2, 0, 1, 0, 1 }, { 1, 3, 1, 0, 1 }, { 1, 0, 0.8f, 0, 1 }, { 1, 0, 1, 0.2f, 1 }, { 1, 0, 1, 0, 0.6f }, { 1.5f, 5, 0.9f, 0.1f, 0.9f }, { 0.7f, 4, 0.95f, 0, 1 }, { 1, 100, 1, 0, 1 },
    };

    [Theory]
    [MemberData(nameof(Settings))]
    public void Draws_have_the_distribution_of_the_closed_form(float temperature, int topK, float topP, float minP, float typicalP)
    {
        var expected = ClosedForm(temperature, topK, topP, minP, typicalP);
        var options = new SamplingOptions { DoSample = true, Temperature = temperature, TopK = topK, TopP = topP, MinP = minP, TypicalP = typicalP };
        var selector = new TokenSelector(options, 12345);
        var counts = new int[Logits.Length];
        var generated = new int[Draws]; // only its length matters: a draw is a function of seed and position
        for (var i = 0; i < Draws; i++)
        {
            counts[selector.Select(Logits, [], generated.AsSpan(0, i)).Id]++;
        }

        var (chi, freedom) = (0.0, -1);
        for (var id = 0; id < counts.Length; id++)
        {
            if (expected[id] == 0)
            {
                Assert.Equal(0, counts[id]);
                continue;
            }

            chi += Math.Pow(counts[id] - (Draws * expected[id]), 2) / (Draws * expected[id]);
            freedom++;
        }

        // Wilson and Hilferty's approximation of the 0.9999 quantile.
        var limit = freedom == 0 ? 1e-9 : freedom * Math.Pow(1 - (2.0 / (9 * freedom)) + (3.719 * Math.Sqrt(2.0 / (9 * freedom))), 3);
        Assert.True(chi <= limit, $"chi-square {chi:0.00} > {limit:0.00}: {string.Join(' ', counts)}");
    }

    [Fact]
    public void A_draw_is_a_function_of_seed_and_position()
    {
        var options = new SamplingOptions { DoSample = true };
        int Draw(ulong seed, int position) => new TokenSelector(options, seed).Select(Logits, [], new int[position]).Id;
        var one = Enumerable.Range(0, 50).Select(i => Draw(1, i)).ToArray();
        Assert.Equal(one, Enumerable.Range(0, 50).Reverse().Select(i => Draw(1, i)).Reverse());
        Assert.NotEqual(one, Enumerable.Range(0, 50).Select(i => Draw(2, i)));
    }

    [Fact]
    public void A_temperature_near_zero_is_greedy()
    {
        var selector = new TokenSelector(new SamplingOptions { DoSample = true, Temperature = 1e-9f }, 1);
        Assert.All(Enumerable.Range(0, 1000), i => Assert.Equal(0, selector.Select(Logits, [], new int[i]).Id));
    }

    [Fact]
    public void Ties_go_to_the_lowest_id() => Assert.Equal(1, new TokenSelector(new SamplingOptions(), 0).Select([0, 3, 3, 1], [], []).Id);

    [Theory]
    [InlineData(float.NaN, 1f)]
    [InlineData(1f, float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity, float.NegativeInfinity)]
    public void Logits_that_are_no_numbers_are_refused(float a, float b)
    {
        foreach (var options in (SamplingOptions[])[new(), new() { DoSample = true }, new() { LogProbs = 3 }])
        {
            Assert.Equal(ErrorCode.NotFinite, Assert.Throws<InferenceException>(() => new TokenSelector(options, 0).Select([a, b], [], [])).Code);
        }
    }

    [Fact]
    public void Bans_of_everything_are_refused() =>
        Assert.Equal(ErrorCode.Unprocessable, Assert.Throws<InferenceException>(() => new TokenSelector(new SamplingOptions { SuppressTokens = [0, 1] }, 0).Select([1, 2], [], [])).Code);

    [Fact]
    public void Penalties_are_the_formulas()
    {
        var options = new SamplingOptions { RepetitionPenalty = 2, PresencePenalty = 0.5f, FrequencyPenalty = 0.25f, LogitBias = new Dictionary<int, float> { [3] = 1 } };
        float[] logits = [4, -4, 1, 0, 2];
        LogitsProcessors.Apply(options, logits, [0, 0, 1], [2, 2, 4]);
        Assert.Equal([2, -8, 0.5f - 1, 1, 1 - 0.75f], logits);
    }

    [Fact]
    public void Bans_and_forced_tokens_are_the_reference_s()
    {
        static int[] Allowed(SamplingOptions options, int[] prompt, int[] generated)
        {
            var logits = new float[6];
            LogitsProcessors.Apply(options, logits, prompt, generated);
            return [.. Enumerable.Range(0, 6).Where(id => logits[id] > float.NegativeInfinity)];
        }

        Assert.Equal([0, 1, 2, 4, 5], Allowed(new SamplingOptions { NoRepeatNgramSize = 2 }, [1, 3], [2, 1]));
        Assert.Equal([0, 1, 2, 3, 4, 5], Allowed(new SamplingOptions { NoRepeatNgramSize = 3 }, [1, 3], [2, 1]));
        Assert.Equal([0, 1, 2, 3, 4], Allowed(new SamplingOptions { BadWordsIds = [[5], [1, 2]] }, [3], []));
        Assert.Equal([0, 1, 3, 4, 5], Allowed(new SamplingOptions { BadWordsIds = [[1, 2]] }, [3, 1], []));
        Assert.Equal([0, 1, 2, 3, 4, 5], Allowed(new SamplingOptions { BadWordsIds = [[1, 2]] }, [1], [])); // as long as the context and one more: not looked at
        Assert.Equal([1, 2, 3, 4, 5], Allowed(new SamplingOptions { MinNewTokens = 2, EosTokenIds = [0] }, [3], [1]));
        Assert.Equal([0, 1, 2, 3, 4, 5], Allowed(new SamplingOptions { MinNewTokens = 2, EosTokenIds = [0] }, [3], [1, 1]));
        Assert.Equal([4], Allowed(new SamplingOptions { ForcedBosTokenId = 4 }, [3], []));
        Assert.Equal([0], Allowed(new SamplingOptions { ForcedEosTokenId = 0, MaxNewTokens = 3 }, [3], [1, 1]));
        Assert.Equal([0, 1, 2, 3, 4], Allowed(new SamplingOptions { BeginSuppressTokens = [5] }, [3], []));
        Assert.Equal([0, 1, 2, 3, 4, 5], Allowed(new SamplingOptions { BeginSuppressTokens = [5] }, [3], [1]));
        Assert.Equal([0, 1, 2, 3, 4], Allowed(new SamplingOptions { BeginSuppressTokens = [5], ForcedBosTokenId = 5 }, [3], [5])); // moved behind the forced one
    }

    [Fact]
    public void The_large_vocabulary_of_top_p_is_that_of_a_whole_sort()
    {
        var random = new Random(1);
        var logits = Enumerable.Range(0, 50_000).Select(_ => (float)(random.NextDouble() * 20)).ToArray();
        foreach (var topP in (float[])[0.1f, 0.5f, 0.9f, 0.99f])
        {
            var probabilities = Softmax(logits, 1);
            var order = Enumerable.Range(0, logits.Length).OrderByDescending(i => probabilities[i]).ToArray();
            var nucleus = new HashSet<int>();
            for (var (i, before) = (0, 0.0); i == 0 || before < topP; before += probabilities[order[i]], i++)
            {
                nucleus.Add(order[i]);
            }

            var selector = new TokenSelector(new SamplingOptions { DoSample = true, TopP = topP }, 5);
            for (var i = 0; i < 300; i++)
            {
                Assert.Contains(selector.Select(logits, [], new int[i]).Id, nucleus);
            }
        }
    }

    // Written out by the definitions, one after the other.
    private static double[] ClosedForm(float temperature, int topK, float topP, float minP, float typicalP)
    {
        var p = Softmax(Logits, temperature);
        var order = Enumerable.Range(0, p.Length).OrderByDescending(i => p[i]).ToArray();
        void Keep(Func<int, bool> kept)
        {
            var sum = 0.0;
            for (var i = 0; i < p.Length; i++)
            {
                p[i] = kept(i) ? p[i] : 0;
                sum += p[i];
            }

            for (var i = 0; i < p.Length; i++)
            {
                p[i] /= sum;
            }
        }

        if (topK > 0)
        {
            Keep(i => Array.IndexOf(order, i) < topK);
        }

        var before = order.Select((id, i) => (id, Sum: order.Take(i).Sum(j => p[j]))).ToDictionary(x => x.id, x => x.Sum);
        Keep(i => topP >= 1 || before[i] < topP);
        Keep(i => p[i] >= minP * p.Max());
        if (typicalP < 1)
        {
            var entropy = -p.Where(x => x > 0).Sum(x => x * Math.Log(x));
            var byDistance = Enumerable.Range(0, p.Length).Where(i => p[i] > 0).OrderBy(i => Math.Abs(-Math.Log(p[i]) - entropy)).ToArray();
            var sum = 0.0;
            var kept = new HashSet<int>();
            foreach (var i in byDistance)
            {
                kept.Add(i);
                sum += p[i];
                if (sum >= typicalP)
                {
                    break;
                }
            }

            Keep(kept.Contains);
        }

        return p;
    }

    private static double[] Softmax(float[] logits, float temperature)
    {
        var max = logits.Max();
        var weights = logits.Select(l => Math.Exp((l - max) / temperature)).ToArray();
        var sum = weights.Sum();
        return [.. weights.Select(w => w / sum)];
    }
}
