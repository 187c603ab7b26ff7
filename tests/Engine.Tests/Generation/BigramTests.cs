using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Generate;
using Xunit;

namespace InferenceServer.Engine.Tests.Generation;

/// <summary>Generation whose every right value is known in closed form.</summary>
public sealed class BigramTests
{
    private static readonly int[] Emoji = [771, 127, 102, 160, 116, 255, 172, 253, 246, 222, BigramModel.End]; // é, 中, 😀 by their bytes, the end

    [Theory]
    [InlineData(0.75, null, null, new[] { 100, 200, 300 })] // on the tempered distribution: of the raw one it would be two
    [InlineData(null, 0.35, null, new[] { 100, 200, 300 })]
    [InlineData(0.37, null, null, new[] { 100 })]
    [InlineData(0.0, null, null, new[] { 100 })]
    [InlineData(null, 1.0, null, new[] { 100 })]
    [InlineData(null, null, 2, new[] { 100, 200 })]
    [InlineData(1.0, 0.0, 0, new[] { 100, 200, 300, 400 })]
    public async Task The_cuts_come_after_the_temperature(double? topP, double? minP, int? topK, int[] expected)
    {
        await using var bigram = await BigramModel.LoadAsync(new Dictionary<int, (int, float)[]> { [50] = Distribution((100, 0.5), (200, 0.3), (300, 0.15), (400, 0.05)) }, otherwise: -100);
        var seen = new SortedSet<int>();
        for (var seed = 0; seed < 200; seed++)
        {
            seen.Add((await bigram.GenerateAsync(new GenerateRequest { InputIds = [50], MaxNewTokens = 1, Temperature = 2, TopP = topP, MinP = minP, TopK = topK, Seed = seed })).TokenIds[0]);
        }

        Assert.Equal(expected, seen);
    }

    [Fact]
    public async Task Penalties_count_what_they_should()
    {
        await using var bigram = await BigramModel.LoadAsync(
            new Dictionary<int, (int, float)[]> { [20] = [(10, 1), (30, 0.9f)], [5] = [(10, 1)], [10] = [(10, 1), (30, 0.9f)], [30] = [(BigramModel.End, 1)] }, otherwise: -9);
        async Task Is(int[] expected, int[] ids, int count, Func<GenerateRequest, GenerateRequest> with) =>
            Assert.Equal(expected, (await bigram.GenerateAsync(with(new GenerateRequest { InputIds = ids, MaxNewTokens = count, Temperature = 0 }))).TokenIds);
        await Is([10], [10, 20], 1, r => r);
        await Is([10], [10, 20], 1, r => r with { PresencePenalty = 0.5 }); // the prompt does not count
        await Is([30], [10, 20], 1, r => r with { RepetitionPenalty = 1.2 }); // it does
        await Is([10, 30], [5], 2, r => r with { PresencePenalty = 0.2 });
        await Is([10, 10, 30], [5], 3, r => r with { FrequencyPenalty = 0.06 });
        await Is([10, 30], [5], 2, r => r with { NoRepeatNgramSize = 1 });
        await Is([30, BigramModel.End], [10], 4, r => r with { SuppressTokens = [10] });
        await Is([10, 30], [5], 2, r => r with { BadWordsIds = [[10, 10]] });
        await Is([10, 30], [5], 5, r => r with { LogitBias = new Dictionary<string, double> { ["30"] = 0.05 }, StopTokenIds = [30], FrequencyPenalty = 0.06 });
        await Is([30, 10, 10], [5], 3, r => r with { ForcedBosTokenId = 30, MinNewTokens = 3, LogitBias = new Dictionary<string, double> { ["10"] = 11 } });
    }

    [Fact]
    public async Task Half_a_character_is_never_told()
    {
        await using var bigram = await Chain();
        var run = await new GenerateTask().StartAsync(bigram.Model, new GenerateRequest { InputIds = [771], Temperature = 0 }, new RequestContext());
        var texts = new List<string>();
        var ids = new List<int>();
        await foreach (var told in run.ReadAsync(TestContext.Current.CancellationToken))
        {
            texts.Add(told.Text);
            ids.Add(told.TokenId!.Value);
        }

        Assert.Equal(["é", "中", "😀"], texts.Where(text => text.Length > 0));
        Assert.Equal(Emoji[1..], ids);
        Assert.Equal(10, run.GeneratedTokens);
    }

    [Theory]
    [InlineData("中😀", "é", FinishReason.Stop)]
    [InlineData("😀x", "é中😀", FinishReason.Stop)] // a beginning that did not go on is given at the end
    [InlineData("é", "", FinishReason.Stop)]
    public async Task A_stop_text_over_tokens_is_found_and_not_told(string stop, string expected, FinishReason finish)
    {
        await using var bigram = await Chain();
        var choice = await bigram.GenerateAsync(new GenerateRequest { InputIds = [771], Temperature = 0, Stop = [stop] });
        Assert.Equal((expected, finish), (choice.Text, choice.Finish));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public async Task Logits_that_are_no_numbers_fail_their_own_request(float bad)
    {
        await using var bigram = await BigramModel.LoadAsync(new Dictionary<int, (int, float)[]> { [60] = [(61, bad)], [50] = [(51, 5)], [51] = [(50, 5)] });
        var good = Enumerable.Range(0, 7).Select(_ => bigram.GenerateAsync(new GenerateRequest { InputIds = [50], MaxNewTokens = 20, Temperature = 0 })).ToArray();
        var failure = await Assert.ThrowsAsync<InferenceException>(() => bigram.GenerateAsync(new GenerateRequest { InputIds = [50, 60], MaxNewTokens = 5, Temperature = 1, Logprobs = 5 }));
        Assert.Equal(ErrorCode.NotFinite, failure.Code);
        foreach (var choice in await Task.WhenAll(good))
        {
            Assert.Equal(Enumerable.Range(0, 20).Select(i => 51 - (i % 2)), choice.TokenIds);
        }
    }

    [Fact]
    public async Task The_seed_alone_decides()
    {
        await using var bigram = await BigramModel.LoadAsync(new Dictionary<int, (int, float)[]>());
        GenerateRequest Seeded(int length) => new() { InputIds = [.. Enumerable.Repeat(50, length)], MaxNewTokens = 30, Temperature = 1, Seed = 7, StopTokenIds = [] };
        var alone = (await bigram.GenerateAsync(Seeded(1))).TokenIds;
        var neighbours = Enumerable.Range(0, 7).Select(i => bigram.GenerateAsync(new GenerateRequest { InputIds = [.. Enumerable.Repeat(60, 1 + (3 * i))], MaxNewTokens = 10 + i, Temperature = 1 })).ToArray();
        Assert.Equal(alone, (await bigram.GenerateAsync(Seeded(1))).TokenIds);
        var others = await Task.WhenAll(neighbours);
        Assert.True(others.Select(choice => string.Join(' ', choice.TokenIds)).Distinct().Count() > 1, "unseeded texts are all alike");

        var run = await new GenerateTask().StartAsync(bigram.Model, Seeded(1) with { N = 3 }, new RequestContext());
        var choices = await run.CompleteAsync();
        Assert.Equal(alone, choices[0].TokenIds);
        Assert.Equal(3, choices.Select(choice => string.Join(' ', choice.TokenIds)).Distinct().Count());
    }

    [Fact]
    public async Task Log_probabilities_are_those_of_the_model()
    {
        await using var bigram = await BigramModel.LoadAsync(new Dictionary<int, (int, float)[]> { [50] = Distribution((100, 0.5), (200, 0.3), (300, 0.2)) }, otherwise: -100);
        var choice = await bigram.GenerateAsync(new GenerateRequest { InputIds = [50], MaxNewTokens = 1, Temperature = 0, Logprobs = 2, LogitBias = new Dictionary<string, double> { ["300"] = 50 } });
        var token = choice.LogProbs![0];
        Assert.Equal(300, token.Id);
        Assert.Equal(Math.Log(0.2), token.LogProb, 5);
        Assert.Equal([100, 200], token.Top!.Select(other => other.Id));
        Assert.Equal(Math.Log(0.5), token.Top![0].LogProb, 5);
    }

    /// <summary>Two beams, of which one can end at once (0.6 * 0.67) and the other goes on (0.4 * 0.99 * 0.945): the length penalty decides.</summary>
    [Theory]
    [InlineData(0, new[] { 100, 799 }, -0.9163)] // ln(0.4)
    [InlineData(2, new[] { 200, 300, 799 }, -0.1092)] // (ln 0.4 + ln 0.99 + ln 0.945) / 9
    public async Task The_length_penalty_weighs_beams(double penalty, int[] expected, double score)
    {
        await using var bigram = await BigramModel.LoadAsync(
            new Dictionary<int, (int, float)[]>
            {
                [50] = Distribution((100, 0.6), (200, 0.4)),
                [100] = Distribution((BigramModel.End, 2.0 / 3), (101, 1.0 / 3)),
                [101] = Distribution((101, 0.5), (102, 0.5)),
                [200] = Distribution((300, 0.99), (101, 0.01)),
                [300] = Distribution((BigramModel.End, 0.945), (101, 0.055)),
            },
            otherwise: -100);
        var choice = await bigram.GenerateAsync(new GenerateRequest { InputIds = [50], MaxNewTokens = 6, NumBeams = 2, LengthPenalty = penalty });
        Assert.Equal(expected, choice.TokenIds);
        Assert.Equal(score, choice.Score!.Value, 3);
    }

    [Fact]
    public async Task A_search_that_finds_fewer_texts_than_asked_for_gives_those()
    {
        await using var bigram = await BigramModel.LoadAsync(new Dictionary<int, (int, float)[]> { [50] = [(100, 5)] });
        async Task<IReadOnlyList<GenerationChoice>> Of(GenerateRequest request) => await (await new GenerateTask().StartAsync(bigram.Model, request, new RequestContext())).CompleteAsync().WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        var forced = await Of(new GenerateRequest { InputIds = [50], MaxNewTokens = 1, NumBeams = 4, N = 4, ForcedBosTokenId = 100 });
        Assert.Equal([100], Assert.Single(forced).TokenIds);
        Assert.All(await Of(new GenerateRequest { InputIds = [50], MaxNewTokens = 2, NumBeams = 4, N = 4, ForcedBosTokenId = 100 }), choice => Assert.InRange(choice.Score!.Value, -100, 0));
    }

    [Fact]
    public async Task A_temperature_that_is_no_float_is_greedy()
    {
        await using var bigram = await BigramModel.LoadAsync(new Dictionary<int, (int, float)[]> { [50] = [(100, 5)] });
        Assert.Equal([100], (await bigram.GenerateAsync(new GenerateRequest { InputIds = [50], MaxNewTokens = 1, Temperature = 1e-50, Seed = 1 })).TokenIds);
    }

    private static Task<BigramModel> Chain() => BigramModel.LoadAsync(Emoji.Zip(Emoji.Skip(1)).ToDictionary(pair => pair.First, pair => new[] { (pair.Second, 9f) }));

    private static (int, float)[] Distribution(params (int Id, double Share)[] shares) => [.. shares.Select(share => (share.Id, (float)Math.Log(share.Share)))];
}
