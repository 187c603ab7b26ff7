using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>What is too long is an error that names the way out, and is cut where the request says so, with <c>truncated</c> in the answer.</summary>
[Collection(ServerCollection.Name)]
public sealed class TruncationTests(DemoServer demo, ZooServer zoo)
{
    private static readonly string Long = string.Join(' ', Enumerable.Repeat("the cat sleeps on the sofa", 200));

    /// <summary>A request a task: path, fields that make it too long, where the mark stands in the answer.</summary>
    public static TheoryData<string, string, string, string> Requests { get; } = new()
    {
        { "demo", "/api/models/demo-bert/attention", $"\"text\": \"{Long}\", \"layers\": [0], \"heads\": [0], \"query_range\": [0, 1]", "truncated" },
        { "demo", "/api/models/demo-gpt/predictions", $"\"inputs\": [\"{Long}\"], \"task\": \"next-token\"", "items[0].truncated" },
        { "demo", "/api/models/demo-gpt/predictions", $"\"inputs\": [\"{Long}\"], \"task\": \"perplexity\"", "items[0].truncated" },
        { "demo", "/api/models/demo-bert/predictions", $"\"inputs\": [\"[MASK] {Long}\"]", "items[0].truncated" },
        { "demo", "/api/models/demo-language/predictions", $"\"inputs\": [\"{Long}\"]", "items[0].truncated" },
        { "zoo", "/api/models/bert-nli-zero-shot/predictions", $"\"inputs\": [\"{Long}\"], \"task\": \"zero-shot\", \"parameters\": {{\"candidate_labels\": [\"a\"]}}", "items[0].truncated" },
        { "zoo", "/api/models/bert-ner/predictions", $"\"inputs\": [\"{Long}\"]", "items[0].truncated" },
        { "zoo", "/api/models/bert-classify/predictions", $"\"inputs\": [\"a\"], \"pairs\": [\"{Long}\"]", "items[0].truncated" },
        { "zoo", "/api/models/bert-rerank/rerank", $"\"query\": \"cat\", \"documents\": [\"{Long}\"]", "results[0].truncated" },
        { "demo", "/api/models/demo-bert/rerank", $"\"query\": \"cat\", \"documents\": [\"{Long}\"]", "results[0].truncated" },
        { "demo", "/api/models/demo-bert/similarity", $"\"source\": \"cat\", \"sentences\": [\"{Long}\"]", "truncated[0]" },
    };

    [Theory]
    [MemberData(nameof(Requests))]
    public async Task It_is_an_error_that_names_truncate_and_is_cut_when_asked(string server, string path, string fields, string mark)
    {
        var client = server == "demo" ? demo.Client : zoo.Client;
        var refused = await client.PostAsync(path, $"{{{fields}}}");
        Assert.Equal(422, refused.Status);
        Assert.Contains("set truncate to true", (string)refused.Json["detail"]!, StringComparison.Ordinal);

        var cut = (await client.PostAsync(path, $"{{{fields}, \"truncate\": true}}")).Ok;
        Assert.NotNull(At(cut, mark));

        var direction = await client.PostAsync(path, $"{{{fields}, \"truncation_direction\": \"left\"}}");
        Assert.Equal((422, "truncation_direction"), (direction.Status, (string?)direction.Json["field"]));
    }

    [Fact]
    public async Task What_fits_is_answered_as_without_it()
    {
        const string path = "/api/models/demo-bert/rerank";
        const string fields = "\"query\": \"cat\", \"documents\": [\"the cat sleeps\", \"a train\"]";
        Assert.Equal((await demo.Client.PostAsync(path, $"{{{fields}}}")).Ok["results"]!.ToJsonString(), (await demo.Client.PostAsync(path, $"{{{fields}, \"truncate\": true}}")).Ok["results"]!.ToJsonString());
        var similar = (await demo.Client.PostAsync("/api/models/demo-bert/similarity", $$"""{"source": "cat", "sentences": ["a cat", "{{Long}}", "a dog"], "truncate": true}""")).Ok;
        Assert.Equal("[1]", similar["truncated"]!.ToJsonString());
        var source = (await demo.Client.PostAsync("/api/models/demo-bert/similarity", $$"""{"source": "{{Long}}", "sentences": ["a cat", "a dog"], "truncate": true}""")).Ok;
        Assert.Equal("[0,1]", source["truncated"]!.ToJsonString());
    }

    [Fact]
    public async Task Of_a_pair_the_longer_gives_way_and_the_direction_says_where()
    {
        const string path = "/api/models/demo-bert/attention";
        foreach (var (direction, starts) in ((string, string)[])[("right", "first"), ("left", "last")])
        {
            var answer = (await demo.Client.PostAsync(path, $$"""{"text": "a short one", "text_pair": "first {{Long}} last", "truncate": true, "truncation_direction": "{{direction}}", "layers": [0], "heads": [0], "format": "u8"}""")).Ok;
            var tokens = answer["tokens"]!.AsArray();
            Assert.Equal(256, tokens.Count);
            Assert.True((bool)answer["truncated"]!);
            var whole = await TokensAsync("a short one");
            Assert.Equal(whole, tokens.Skip(1).Take(whole.Length).Select(t => (string)t!["token"]!));
            var texts = string.Concat(tokens.Where(t => (int)t!["segment"]! == 1).Select(t => (string)t!["text"]!));
            Assert.Equal(direction == "right", texts.StartsWith("first", StringComparison.Ordinal));
            Assert.Contains(starts, texts, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_stride_reads_everything_and_goes_not_with_truncate()
    {
        var answer = await zoo.Client.PostAsync("/api/models/bert-ner/predictions", $$"""{"inputs": ["{{Long}}"], "truncate": true, "parameters": {"stride": 4, "aggregation": "simple"} }""");
        Assert.Equal((422, "parameters.stride"), (answer.Status, (string?)answer.Json["field"]));
        Assert.Contains("truncate", (string)answer.Json["detail"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_mask_that_was_cut_off_is_told()
    {
        var answer = await demo.Client.PostAsync("/api/models/demo-bert/predictions", $$"""{"inputs": ["{{Long}} [MASK]"], "truncate": true}""");
        Assert.Equal(422, answer.Status);
        Assert.Contains("after truncation", (string)answer.Json["detail"]!, StringComparison.Ordinal);
    }

    private async Task<string[]> TokensAsync(string text) =>
        [.. (await demo.Client.PostAsync("/api/models/demo-bert/tokenize", $$"""{"inputs": "{{text}}", "add_special_tokens": false}""")).Ok["items"]![0]!["tokens"]!.AsArray().Select(t => (string)t!)];

    private static JsonNode? At(JsonNode? node, string path)
    {
        foreach (var step in path.Replace("]", "", StringComparison.Ordinal).Split('.', '['))
        {
            node = int.TryParse(step, out var index) ? node?.AsArray().ElementAtOrDefault(index) : node?[step];
        }

        return node;
    }
}
