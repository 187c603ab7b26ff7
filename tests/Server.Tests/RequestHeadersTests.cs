using System.Text;

namespace InferenceServer.Server.Tests;

/// <summary>How long a client waits and how urgent it is travel in headers; inputs that are wrong together are told together.</summary>
[Collection(ServerCollection.Name)]
public sealed class RequestHeadersTests(DemoServer demo)
{
    private const string Embed = "/api/models/demo-bert/embeddings";

    public static string[] Resources { get; } = ["embeddings", "predictions", "attention", "tokenize", "detokenize", "rerank", "similarity"];

    [Theory]
    [InlineData("x-deadline-ms", "60000")]
    [InlineData("x-deadline-ms", "2147483647")]
    [InlineData("x-priority", "interactive")]
    [InlineData("x-priority", "bulk")]
    public async Task Good_ones_are_taken(string header, string value) =>
        Assert.Equal(200, (await SendAsync(Embed, """{"inputs": "O gato dorme."}""", (header, value))).Status);

    [Theory]
    [InlineData("x-deadline-ms", "soon", "1 to 2147483647")]
    [InlineData("x-deadline-ms", "0", "1 to 2147483647")]
    [InlineData("x-deadline-ms", "-5", "1 to 2147483647")]
    [InlineData("x-deadline-ms", "1.5", "1 to 2147483647")]
    [InlineData("x-deadline-ms", "2147483648", "1 to 2147483647")]
    [InlineData("x-priority", "urgent", "interactive, bulk")]
    [InlineData("x-priority", "Bulk", "interactive, bulk")]
    public async Task Bad_ones_are_400_and_named_on_every_inference(string header, string value, string says)
    {
        foreach (var resource in Resources)
        {
            var answer = await SendAsync($"/api/models/demo-bert/{resource}", "{}", (header, value));
            Assert.Equal((400, header), (answer.Status, (string?)answer.Json["field"]));
            Assert.Contains(header, (string)answer.Json["detail"]!, StringComparison.Ordinal);
            Assert.Contains(says, (string)answer.Json["detail"]!, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_clients_deadline_that_passes_is_504_and_named()
    {
        var text = string.Join(' ', Enumerable.Repeat("banco", 200));
        var answer = await SendAsync(Embed, $$"""{"inputs": [{{string.Join(',', Enumerable.Repeat($"\"{text}\"", 500))}}]}""", ("x-deadline-ms", "1"));
        Assert.Equal(504, answer.Status);
        Assert.Contains("1 ms", (string)answer.Json["detail"]!, StringComparison.Ordinal);
        Assert.Contains("x-deadline-ms", (string)answer.Json["detail"]!, StringComparison.Ordinal);
        demo.Process.AssertCleanLog();
    }

    [Fact]
    public async Task The_document_has_both_headers_on_every_inference()
    {
        var paths = (await demo.Client.ReadAsync("/swagger/v1/swagger.json")).Ok["paths"]!;
        foreach (var resource in Resources)
        {
            var headers = paths[$"/api/models/{{model}}/{resource}"]!["post"]!["parameters"]!.AsArray().Where(p => (string?)p!["in"] == "header").ToList();
            Assert.Equal(["x-deadline-ms", "x-priority"], headers.Select(p => (string?)p!["name"]).Order(StringComparer.Ordinal));
            Assert.Equal("""["interactive","bulk"]""", headers[1]!["schema"]!["enum"]!.ToJsonString());
        }
    }

    [Theory]
    [InlineData("embeddings", """{"inputs": ["a", "", "b", ""]}""", "inputs[1] inputs[3]")]
    [InlineData("embeddings", """{"inputs": ["LONG", "b", "LONG"]}""", "inputs[0] inputs[2]")]
    [InlineData("predictions", """{"inputs": ["a [MASK]", "", ""]}""", "inputs[1] inputs[2]")]
    [InlineData("predictions", """{"inputs": ["LONG", "LONG"]}""", "inputs[0] inputs[1]")]
    [InlineData("rerank", """{"query": "a", "documents": ["", "b", ""]}""", "documents[0] documents[2]")]
    [InlineData("similarity", """{"source": "", "sentences": ["", "b"]}""", "source sentences[0]")]
    public async Task Inputs_that_are_wrong_together_are_told_together(string resource, string body, string fields)
    {
        var answer = await SendAsync($"/api/models/demo-bert/{resource}", body.Replace("LONG", string.Join(' ', Enumerable.Repeat("banco", 300)), StringComparison.Ordinal));
        Assert.Equal(422, answer.Status);
        Assert.Equal(fields.Split(' ')[0], (string?)answer.Json["field"]);
        Assert.Equal(fields, string.Join(' ', answer.Json["errors"]!.AsArray().Select(e => (string?)e!["field"])));
        foreach (var error in answer.Json["errors"]!.AsArray())
        {
            Assert.StartsWith((string)error!["field"]! + " is", (string)error["detail"]!, StringComparison.Ordinal);
            Assert.Contains((string)error["field"]!, (string)answer.Json["detail"]!, StringComparison.Ordinal);
        }
    }

    private async Task<Answer> SendAsync(string path, string body, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        foreach (var (name, value) in headers)
        {
            request.Headers.Add(name, value);
        }

        return await demo.Client.AskAsync(request);
    }
}
