using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>The demo models over HTTP give what PyTorch gave: the references beside them.</summary>
[Collection(ServerCollection.Name)]
public sealed class DemoReferenceTests(DemoServer demo)
{
    [Fact]
    public Task Bert() => new Reference(demo.Client, Repository.Models, "demo-bert").CompareAsync(atLeast: 32);

    [Fact]
    public Task Gpt() => new Reference(demo.Client, Repository.Models, "demo-gpt").CompareAsync(atLeast: 15);

    [Fact]
    public Task Language() => new Reference(demo.Client, Repository.Models, "demo-language").CompareAsync(atLeast: 30);

    [Fact]
    public Task Encoder_of_the_translator() => new Reference(demo.Client, Repository.Models, "demo-translator").CompareAsync(atLeast: 10);
}

/// <summary>Two real models, named by the models setting.</summary>
public sealed class RealModelTests
{
    [Fact]
    public async Task MiniLM_and_SmolLM2()
    {
        var models = TestData.Models;
        await using var server = await ServerProcess.StartAsync(models);
        await new Reference(server.Client, models, "all-MiniLM-L6-v2").CompareAsync(atLeast: 44);
        await new Reference(server.Client, models, "SmolLM2-135M-Instruct").CompareAsync(atLeast: 16);
        server.AssertCleanLog();
    }
}

/// <summary>A model folder's expected.json and expected.safetensors against a running server.</summary>
internal sealed class Reference
{
    private readonly HttpClient client;
    private readonly string path;
    private readonly JsonArray cases;
    private readonly byte[] tensors;
    private readonly JsonNode header;
    private readonly int start;
    private int compared;

    public Reference(HttpClient client, string models, string model)
    {
        this.client = client;
        path = "/api/models/" + model;
        cases = JsonNode.Parse(File.ReadAllText(Path.Combine(models, model, "expected.json")))!["cases"]!.AsArray();
        tensors = File.ReadAllBytes(Path.Combine(models, model, "expected.safetensors"));
        start = 8 + (int)BitConverter.ToInt64(tensors);
        header = JsonNode.Parse(tensors.AsSpan(8, start - 8))!;
    }

    /// <summary>Compares whatever the references hold of each case: ids, vectors, scores, attention.</summary>
    /// <param name="atLeast">How many values the references hold at least.</param>
    public async Task CompareAsync(int atLeast)
    {
        foreach (var reference in cases)
        {
            await CompareAsync(reference!);
        }

        Assert.True(compared >= atLeast, $"{path}: {compared} values compared, of at least {atLeast}: the references are missing or cut short");
    }

    private async Task CompareAsync(JsonNode reference)
    {
        var id = (string)reference["id"]!;
        var text = (string?)(reference["text"] ?? reference["prompt"]);
        var pair = (string?)reference["text_pair"];
        var ids = reference["input_ids"]!.ToJsonString();
        JsonObject Body(params (string Name, JsonNode? Value)[] fields) => new(fields.Where(f => f.Value is not null).Select(f => KeyValuePair.Create(f.Name, f.Value)));

        var items = (await PostAsync("/tokenize", Body(("inputs", text), ("pairs", pair)))).Ok["items"]![0]!;
        Assert.Equal(ids, items["ids"]!.ToJsonString());
        compared++;
        if (reference["tokens"] is { } tokens)
        {
            Assert.Equal(tokens.ToJsonString(), items["tokens"]!.ToJsonString());
        }

        if (Tensor($"{id}.embedding") is { } vector)
        {
            var answer = await PostAsync("/embeddings", Body(("inputs", text), ("pairs", pair)));
            if (text!.Length == 0)
            {
                Assert.Equal(422, answer.Status); // the server refuses an empty text
                return;
            }

            var embedding = answer.Ok["items"]![0]!["embedding"].Floats();
            Close(vector, embedding, 1e-4f, $"{id}.embedding");
            var cosine = vector.Zip(embedding, (a, b) => (double)a * b).Sum() / Math.Sqrt(vector.Sum(a => (double)a * a) * embedding.Sum(a => (double)a * a));
            Assert.True(cosine >= 0.99999, $"{id}: cosine {cosine}");
        }

        if (Tensor($"{id}.last_hidden_state") is { } hidden)
        {
            var answer = (await PostAsync("/embeddings", Body(("inputs", text), ("pairs", pair), ("level", "token"), ("normalize", false)))).Ok;
            Close(hidden, [.. answer["items"]![0]!["embeddings"]!.AsArray().SelectMany(row => row.Floats())], 1e-4f, $"{id}.last_hidden_state");
        }

        if (reference["fill_mask_top5"] is JsonArray masks)
        {
            var candidates = (await PostAsync("/predictions", Body(("inputs", text)))).Ok["items"]![0]!["masks"]![0]!["candidates"]!.AsArray();
            Ranked(masks, candidates, "id", "score", 1e-4);
        }

        if (reference["top5"] is JsonArray labels)
        {
            Ranked(labels, (await PostAsync("/predictions", Body(("inputs", text)))).Ok["items"]![0]!["labels"]!.AsArray(), "label", "score", 1e-4);
        }

        if ((reference["next_top10"] ?? reference["next_top5"]) is JsonArray next)
        {
            var parameters = new JsonObject { ["top_k"] = next.Count };
            Ranked(next, (await PostAsync("/predictions", Body(("inputs", text), ("task", "next-token"), ("parameters", parameters)))).Ok["items"]![0]!["candidates"]!.AsArray(), "id", "logprob", 1e-4);
        }

        foreach (var (tensor, kind) in ((string, string?)[])[("attentions", null), ("encoder_attentions", "encoder")])
        {
            if (Tensor($"{id}.{tensor}") is { } expected)
            {
                var answer = (await PostAsync("/attention", Body(("text", text), ("text_pair", pair), ("kind", kind)))).Ok;
                Assert.Equal(header[$"{id}.{tensor}"]!["shape"]!.ToJsonString(), answer["shape"]!.ToJsonString());
                Close(expected, [.. Leaves(answer["attention"]!)], 1e-4f, $"{id}.{tensor}");
            }
        }
    }

    private void Ranked(JsonArray expected, JsonArray got, string name, string score, double tolerance)
    {
        var count = Math.Min(expected.Count, got.Count);
        Assert.Equal(expected.Count, count);
        Assert.Equal(expected.Take(count).Select(e => e![name]!.ToString()), got.Take(count).Select(g => g![name]!.ToString()));
        for (var i = 0; i < count; i++)
        {
            Assert.Equal((double)expected[i]![score]!, (double)got[i]![score]!, tolerance);
        }

        compared++;
    }

    private void Close(float[] expected, float[] got, float tolerance, string what)
    {
        Assert.Equal(expected.Length, got.Length);
        var difference = expected.Zip(got, (a, b) => Math.Abs(a - b)).Max();
        Assert.True(difference <= tolerance, $"{path} {what} differs by {difference}");
        compared++;
    }

    private float[]? Tensor(string name)
    {
        if (header[name] is not { } entry)
        {
            return null;
        }

        Assert.Equal("F32", (string)entry["dtype"]!);
        var (from, to) = ((int)entry["data_offsets"]![0]!, (int)entry["data_offsets"]![1]!);
        return MemoryMarshal.Cast<byte, float>(tensors.AsSpan(start + from, to - from)).ToArray();
    }

    private static IEnumerable<float> Leaves(JsonNode node) => node is JsonArray list ? list.SelectMany(n => Leaves(n!)) : [(float)node];

    private Task<Answer> PostAsync(string where, JsonObject body) => client.PostAsync(path + where, JsonSerializer.Serialize(body));
}
