using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>Where a translation looks: attention of an encoder-decoder's decoder and between it and the source, over HTTP.</summary>
[Collection(ServerCollection.Name)]
public sealed class TranslationAttentionTests(DemoServer demo)
{
    private const string Path = "/api/models/demo-translator/attention";
    private const string Text = "The cat sleeps on the sofa.";

    [Fact]
    public async Task Without_a_target_the_models_own_translation_is_looked_at()
    {
        var generated = await AskAsync("/api/models/demo-translator/generations", new { prompt = Text, temperature = 0 });
        var answer = await AskAsync(Path, new { text = Text, kind = "cross" });
        int[] translation = [.. generated["choices"]![0]!["token_ids"]!.AsArray().Select(id => (int)id!)];
        Assert.Equal(translation[..^1], answer["tokens"]!.AsArray().Skip(1).Select(token => (int)token!["id"]!)); // the start token before it; the end token is never read
        Assert.Equal(["layer", "head", "query", "key"], answer["axes"]!.AsArray().Select(axis => (string?)axis));
        Assert.Equal((answer["tokens"]!.AsArray().Count, answer["key_tokens"]!.AsArray().Count), ((int)answer["shape"]![2]!, (int)answer["shape"]![3]!));
        Assert.All(answer["attention"]!.AsArray().SelectMany(layer => layer!.AsArray()).SelectMany(head => head!.AsArray()), row => Assert.Equal(1, row!.AsArray().Sum(p => (double)p!), 1e-4));
        Assert.Contains("decoder_model.onnx", (string?)answer["provenance"]!["file"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_target_as_text_is_the_same_as_its_ids()
    {
        var text = await AskAsync(Path, new { text = Text, kind = "decoder", target_text = "O gato dorme no sofá." });
        int[] ids = [.. text["tokens"]!.AsArray().Select(token => (int)token!["id"]!)];
        var given = await AskAsync(Path, new { text = Text, kind = "decoder", target_ids = ids });
        Assert.Equal(text["attention"]!.ToJsonString(), given["attention"]!.ToJsonString());
        Assert.Null(text["key_tokens"]);
    }

    [Theory]
    [InlineData("""{"text": "a", "kind": "cross", "target_text": "b", "target_ids": [1]}""", "target_text", "one of them")]
    [InlineData("""{"text": "a", "kind": "cross", "target_ids": []}""", "target_ids", "at least 1")]
    [InlineData("""{"text": "a", "kind": "cross", "target_text": ""}""", "target_text", "empty")]
    [InlineData("""{"text": "a", "kind": "encoder", "target_text": "b"}""", "target_text", "decoder or cross")]
    [InlineData("""{"text": "a", "kind": "cross", "aggregate": {"over": "all", "method": "rollout"}}""", "aggregate", "mean or max")]
    [InlineData("""{"text": "a", "kind": "cross", "statistics": true}""", "statistics", "Leave statistics out")]
    [InlineData("""{"text": "a", "kind": "cross", "key_range": [0, 900]}""", "key_range", "tokens")]
    public async Task What_does_not_go_together_is_refused_by_name(string body, string field, string part)
    {
        using var answer = await demo.Client.PostAsync(Path, new StringContent(body, System.Text.Encoding.UTF8, "application/json"), TestContext.Current.CancellationToken);
        var problem = JsonNode.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!;
        Assert.Equal(HttpStatusCode.UnprocessableEntity, answer.StatusCode);
        Assert.Equal(field, (string?)problem["field"]);
        Assert.Contains(part, (string?)problem["detail"], StringComparison.Ordinal);
    }

    private async Task<JsonNode> AskAsync(string path, object body)
    {
        using var answer = await demo.Client.PostAsJsonAsync(path, body, TestContext.Current.CancellationToken);
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(answer.IsSuccessStatusCode, text);
        return JsonNode.Parse(text)!;
    }
}
