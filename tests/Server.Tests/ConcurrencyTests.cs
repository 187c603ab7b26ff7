using System.Text.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>A text's result does not depend on its company: alone, in a padded batch, and among 64 concurrent requests.</summary>
[Collection(ServerCollection.Name)]
public sealed class ConcurrencyTests(DemoServer demo)
{
    private static readonly string[] Words = ["O", "banco", "da", "praça", "estava", "sujo", "The", "cat", "sleeps", "on", "the", "sofa", "então", "fui", "sacar", "dinheiro"];

    // Of 1 to 200 words, so that every batch is padded.
    private static readonly string[] Texts = [.. Enumerable.Range(0, 64).Select(i => string.Join(' ', Enumerable.Range(0, 1 + (i * i * 7 % 120)).Select(j => Words[((i * 31) + (j * 7) + (j / 5)) % Words.Length])))];

    [Fact]
    public Task Embeddings() => CompareAsync("demo-bert/embeddings", t => $$"""{"inputs": {{t}}}""", item => item["embedding"].Floats(), 1e-5f);

    [Fact]
    public Task Labels() => CompareAsync(
        "demo-language/predictions", t => $$$"""{"inputs": {{{t}}}, "parameters": {"top_k": 40}}""",
        item => [.. item["labels"]!.AsArray().OrderBy(l => (string)l!["label"]!, StringComparer.Ordinal).Select(l => (float)l!["score"]!)], 1e-5f, maxWords: 40);

    [Fact]
    public Task Next_tokens() => CompareAsync(
        "demo-gpt/predictions", t => $$$"""{"inputs": {{{t}}}, "parameters": {"top_k": 3}}""", item => [.. item["candidates"]!.AsArray().Select(c => (float)c!["logprob"]!)], 1e-4f);

    [Fact]
    public async Task Attention()
    {
        // Attention has one text a request: alone against among 64.
        var alone = await AttentionAsync(Texts[5]);
        var crowd = await Task.WhenAll(Texts.Take(63).Append(Texts[5]).Select(AttentionAsync));
        Assert.Equal(0, Difference(alone, crowd[5]), 1e-5f);
        Assert.Equal(0, Difference(alone, crowd[63]), 1e-5f);
    }

    private async Task<float[]> AttentionAsync(string text)
    {
        var answer = (await demo.Client.PostAsync("/api/models/demo-bert/attention", $$"""{"text": {{JsonSerializer.Serialize(text)}}, "layers": [3], "heads": [2]}""")).Ok;
        return [.. answer["attention"]![0]![0]!.AsArray().SelectMany(row => row.Floats())];
    }

    private async Task CompareAsync(string path, Func<string, string> body, Func<JsonNode, float[]> read, float tolerance, int maxWords = int.MaxValue)
    {
        var texts = Texts.Where(t => t.Split(' ').Length <= maxWords).ToArray();
        async Task<float[][]> Ask(string inputs) => [.. (await demo.Client.PostAsync("/api/models/" + path, body(inputs))).Ok["items"]!.AsArray().Select(i => read(i!))];

        var alone = new float[texts.Length][];
        for (var i = 0; i < texts.Length; i++)
        {
            alone[i] = (await Ask(JsonSerializer.Serialize(texts[i])))[0];
        }

        var batch = await Ask(JsonSerializer.Serialize(texts));
        var crowd = await Task.WhenAll(Enumerable.Range(0, 64).Select(i => Ask(JsonSerializer.Serialize(texts[i % texts.Length]))));
        for (var i = 0; i < texts.Length; i++)
        {
            Assert.True(Difference(alone[i], batch[i]) <= tolerance, $"text {i} in a batch differs by {Difference(alone[i], batch[i])}");
            Assert.True(Difference(alone[i], crowd[i][0]) <= tolerance, $"text {i} in a crowd differs by {Difference(alone[i], crowd[i][0])}");
        }
    }

    private static float Difference(float[] a, float[] b) => a.Length == b.Length ? a.Zip(b, (x, y) => Math.Abs(x - y)).DefaultIfEmpty().Max() : float.PositiveInfinity;
}
