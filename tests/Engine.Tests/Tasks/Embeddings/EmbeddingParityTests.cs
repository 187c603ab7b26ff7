using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.Similarity;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Embeddings;

/// <summary>Vectors equal those of the reference: alone, and among 64 requests of other lengths.</summary>
public sealed class EmbeddingParityTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("zoo/bert-embed-sdpa", 4, 6)]
    [InlineData("zoo/bert-embed-cls-dense", 4, 0)]
    [InlineData("zoo/bert-embed-onnx-subfolder", 2, 0)]
    [InlineData("zoo/albert-embed", 4, 0)]
    [InlineData("zoo/mpnet-embed", 4, 0)]
    [InlineData("zoo/bigbird-embed", 4, 0)]
    [InlineData("demo-models/demo-bert", 7, 0)]
    [InlineData("models/all-MiniLM-L6-v2", 17, 0)]
    public async Task Vectors_equal_the_reference(string name, int leastCases, int leastPrompts)
    {
        var folder = TestData.ModelFolder(name);
        var reference = new ReferenceCases(folder);
        var (loader, model) = await ReferenceCases.Load(folder);
        await using var _ = loader;
        var cases = reference.Cases.Where(one => one.Text is { Length: > 0 } && reference.Has($"{one.Name}.embedding")).ToList();
        Checks.AtLeast(leastCases, cases.Count, "cases");
        var worst = 0f;
        foreach (var one in cases)
        {
            worst = Math.Max(worst, Check(reference.Data($"{one.Name}.embedding"), await Vector(model, TextInput.Of(one.Text!, one.Pair)), one.Name));
            worst = Math.Max(worst, one.Pair is null ? Check(reference.Data($"{one.Name}.embedding"), await Vector(model, TextInput.OfIds(one.InputIds)), one.Name + " by ids") : 0);
        }

        var together = await Task.WhenAll(Enumerable.Range(0, 64).Select(i => Task.Run(() => Vector(model, TextInput.Of(cases[i % cases.Count].Text!, cases[i % cases.Count].Pair)))));
        for (var i = 0; i < together.Length; i++)
        {
            worst = Math.Max(worst, Check(reference.Data($"{cases[i % cases.Count].Name}.embedding"), together[i], $"{cases[i % cases.Count].Name} among 64"));
        }

        var prompted = reference.Root.TryGetProperty("prompted", out var list) ? list.EnumerateArray().ToList() : [];
        Checks.AtLeast(leastPrompts, prompted.Count, "prompted texts");
        foreach (var one in prompted)
        {
            var request = new EmbeddingsRequest { Inputs = [TextInput.Of(one.GetProperty("text").GetString()!)], PromptName = one.GetProperty("prompt_name").GetString() };
            var vector = (await new EmbeddingsTask().RunAsync(model, request, new RequestContext())).Items[0].Embedding!.ToFloats();
            worst = Math.Max(worst, Check(reference.Data(one.GetProperty("embedding").GetString()!), vector, "prompted"));
        }

        output.WriteLine($"{name}: {cases.Count} cases, alone and among 64, {prompted.Count} with a prompt; largest difference {worst:e1}");
        foreach (var _unused in reference.Cases.Where(one => one.Text is ""))
        {
            await Assert.ThrowsAsync<InferenceException>(() => Vector(model, TextInput.Of("")));
        }
    }

    [Fact]
    public async Task A_real_models_score_is_the_sum_of_its_contributions()
    {
        var (loader, model) = await ReferenceCases.Load(Path.Combine(TestData.Models, "all-MiniLM-L6-v2"));
        await using var _ = loader;
        string[] sentences = ["She deposited the check at the bank.", "Someone is playing the guitar.", "日本語 😀"];
        var request = new SimilarityRequest { Source = "A man is playing a guitar.", Sentences = sentences };
        var plain = await new SimilarityTask().RunAsync(model, request, new RequestContext());
        var explained = await new SimilarityTask().RunAsync(model, request with { Explain = true }, new RequestContext());
        for (var i = 0; i < sentences.Length; i++)
        {
            Assert.Equal(plain.Scores[i], explained.Explanations![i].Contributions.Sum(row => row.Sum(value => (double)value)), 1e-5);
        }

        Assert.True(plain.Scores[1] > plain.Scores[0]);
        Assert.Equal(new SimilarityToken("[UNK]", 4, 5), explained.Explanations![2].SentenceTokens[^2]);
    }

    private static async Task<float[]> Vector(Model model, TextInput input) =>
        (await new EmbeddingsTask().RunAsync(model, new EmbeddingsRequest { Inputs = [input] }, new RequestContext())).Items[0].Embedding!.ToFloats();

    private static float Check(float[] expected, float[] actual, string what)
    {
        var difference = ReferenceCases.Difference(expected, actual);
        Assert.True(difference <= 1e-4f, $"{what}: differs by {difference}");
        Assert.True(TensorPrimitives.CosineSimilarity<float>(expected, actual) >= 0.99999f, $"{what}: another direction");
        return difference;
    }
}
