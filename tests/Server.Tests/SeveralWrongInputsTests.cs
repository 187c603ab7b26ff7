namespace InferenceServer.Server.Tests;

/// <summary>Everything that is wrong with the inputs of a request is told at once, whatever is wrong with each; 20 at most.</summary>
[Collection(ServerCollection.Name)]
public sealed class SeveralWrongInputsTests(DemoServer demo, ZooServer zoo)
{
    private static readonly string Long = string.Join(' ', Enumerable.Repeat("banco", 300));

    /// <summary>Requests and the fields at fault, in their order.</summary>
    public static TheoryData<string, string, string, string> Requests { get; } = new()
    {
        { "demo", "/api/models/demo-bert/embeddings", $$"""{"inputs": ["", "fine", "{{Long}}", ""]}""", "inputs[0] inputs[2] inputs[3]" },
        { "demo", "/api/models/demo-bert/detokenize", """{"ids": [[2, 99999999], [3], [-1, 4, -2]]}""", "ids[0][1] ids[2][0] ids[2][2]" },
        { "demo", "/api/models/demo-bert/similarity", $$"""{"source": "", "sentences": ["a", "", "{{Long}}"]}""", "source sentences[1] sentences[2]" },
        { "demo", "/api/models/demo-bert/rerank", $$"""{"query": "a", "documents": ["a", "", "{{Long}}"]}""", "documents[1] documents[2]" },
        { "zoo", "/api/models/bert-rerank/rerank", $$"""{"query": "a", "documents": ["a", "", "{{Long}}"]}""", "documents[1] documents[2]" },
        { "zoo", "/api/models/bert-classify/predictions", $$"""{"inputs": ["", "a", "b"], "pairs": ["a", "{{Long}}", "c"]}""", "inputs[0] inputs[1]" },
        { "zoo", "/api/models/bert-qa/predictions", """{"inputs": [{"question": "", "context": ""}, {"question": "who", "context": "she"}, {"question": "who", "context": ""}]}""", "inputs[0].question inputs[0].context inputs[2].context" },
        { "zoo", "/api/models/bert-ner/predictions", """{"inputs": [[1, 2], [3]]}""", "inputs[0] inputs[1]" },
    };

    [Theory]
    [MemberData(nameof(Requests))]
    public async Task Each_is_named_with_what_is_wrong_with_it(string server, string path, string body, string fields)
    {
        var answer = await (server == "demo" ? demo.Client : zoo.Client).PostAsync(path, body);
        Assert.Equal(422, answer.Status);
        var errors = answer.Json["errors"]!.AsArray();
        Assert.Equal(fields, string.Join(' ', errors.Select(e => (string)e!["field"]!)));
        Assert.Equal(fields.Split(' ')[0], (string?)answer.Json["field"]);
        Assert.All(errors, e => Assert.StartsWith((string)e!["field"]!, (string)e["detail"]!, StringComparison.Ordinal));
        Assert.All(fields.Split(' '), field => Assert.Contains(field, (string)answer.Json["detail"]!, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("embeddings", """{"inputs": ["a", 5, "b", null, {"x": [1, 2]}, [7]]}""", "inputs[1] inputs[3] inputs[4] inputs[5]")]
    [InlineData("embeddings", """{"inputs": [[1, "x", 2], [3], [4, -0.5], [[5]]]}""", "inputs[0][1] inputs[2][1] inputs[3][0]")]
    [InlineData("embeddings", """{"inputs": [true, 5], "poolin": "mean", "level": "sentence", "dimensions": 0.5}""", "inputs[0] inputs[1] poolin level dimensions")]
    [InlineData("rerank", """{"query": 5, "documents": ["a", 1, "b", null]}""", "query documents[1] documents[3]")]
    [InlineData("similarity", """{"sentences": [1]}""", "sentences[0] source")]
    public async Task Wrong_kinds_are_named_together_too(string task, string body, string fields)
    {
        var answer = await demo.Client.PostAsync("/api/models/demo-bert/" + task, body);
        Assert.Equal(400, answer.Status);
        Assert.Equal(fields, string.Join(' ', answer.Json["errors"]!.AsArray().Select(e => (string)e!["field"]!)));
        Assert.Equal(fields.Split(' ')[0], (string?)answer.Json["field"]);
        Assert.All(fields.Split(' '), field => Assert.Contains(field, (string)answer.Json["detail"]!, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Twenty_are_told_at_most()
    {
        var answer = await demo.Client.PostAsync("/api/models/demo-bert/detokenize", $$"""{"ids": [[{{string.Join(',', Enumerable.Repeat("-1", 15))}}], [{{string.Join(',', Enumerable.Repeat("-1", 15))}}]]}""");
        Assert.Equal(422, answer.Status);
        Assert.Equal(20, answer.Json["errors"]!.AsArray().Count);
        Assert.Contains("20 or more", (string)answer.Json["detail"]!, StringComparison.Ordinal);
    }
}
