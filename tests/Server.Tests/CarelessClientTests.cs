using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace InferenceServer.Server.Tests;

/// <summary>Clients that send half a body, drip it, go away, or do not take their answer: each costs what its bound says, and one line of the log.</summary>
public sealed class CarelessClientTests : IAsyncLifetime
{
    private const string Path = "/api/models/demo-bert/embeddings";
    private ServerProcess server = null!;

    public async ValueTask InitializeAsync() => server = await ServerProcess.StartAsync(Repository.Models, new Dictionary<string, string?>
    {
        ["Limits__MaxBytesInFlight"] = "1000000",
        ["Limits__RequestTimeoutSeconds"] = "3",
        ["Limits__AnswerTimeoutSeconds"] = "1",
        ["Limits__MinAnswerBytesPerSecond"] = "1000000000", // what the system's buffers take gives no time
        ["Limits__MaxTextCharacters"] = "2000",
    });

    public async ValueTask DisposeAsync()
    {
        server.AssertCleanLog();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task Half_sent_bodies_are_refused_beyond_the_budget_and_end_at_the_deadline_while_short_requests_go_on()
    {
        using var first = await SendAsync(Head(2_000_000) + new string(' ', 900_000));
        using var second = await SendAsync(Head(2_000_000) + new string(' ', 900_000));
        Task<string>[] answers = [ReadAsync(first), ReadAsync(second)];
        var refused = await Task.WhenAny(answers);
        Assert.StartsWith("HTTP/1.1 429 ", await refused, StringComparison.Ordinal);
        Assert.Contains("Limits:MaxBytesInFlight", await refused, StringComparison.Ordinal);
        Assert.Contains("Retry-After: ", await refused, StringComparison.Ordinal);

        (await server.Client.PostAsync(Path, """{"inputs": "short"}""")).Ok.ToString();

        await Task.WhenAll(answers); // the other one too, or at its deadline
        const int Tries = 20;
        var late = "";
        for (var i = 0; i < Tries && (i == 0 || late.StartsWith("HTTP/1.1 429 ", StringComparison.Ordinal)); i++)
        {
            // What the others held is free when their requests have ended, a moment after their answers.
            using var alone = await SendAsync(Head(2_000_000) + new string(' ', 900_000));
            late = await ReadAsync(alone);
        }

        Assert.StartsWith("HTTP/1.1 504 ", late, StringComparison.Ordinal);
        Assert.Contains("Limits:RequestTimeoutSeconds", late, StringComparison.Ordinal);
        Assert.Contains("Connection: close", late, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_body_that_does_not_come_within_its_own_deadline_is_504()
    {
        using var socket = await SendAsync(Head(1000, "x-deadline-ms: 50\r\n") + "{");
        var answer = await ReadAsync(socket);
        Assert.StartsWith("HTTP/1.1 504 ", answer, StringComparison.Ordinal);
        Assert.Contains("the 50 ms of its header x-deadline-ms", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_client_that_goes_while_its_body_is_read_or_its_answer_is_made_is_one_line_of_499()
    {
        for (var i = 0; i < 20; i++)
        {
            var id = string.Create(CultureInfo.InvariantCulture, $"gone-{i}");
            var texts = string.Join(',', Enumerable.Repeat($"\"{new string('x', 300)} banco banco banco\"", 400));
            var body = $$"""{"inputs": [{{texts}}], "truncate": true}""";
            var socket = await SendAsync(Head(body.Length, $"x-request-id: {id}\r\nExpect: 100-continue\r\n"));
            Assert.StartsWith("HTTP/1.1 100 ", await ReadAsync(socket), StringComparison.Ordinal); // now it is read
            await socket.SendAsync(Encoding.ASCII.GetBytes(i % 2 == 0 ? body : body[..(body.Length / 2)]), TestContext.Current.CancellationToken);
            socket.LingerState = i % 4 < 2 ? new LingerOption(true, 0) : new LingerOption(false, 0); // a reset, or a plain end
            socket.Dispose();
            Assert.Contains(" 499 ", await LineAsync(id), StringComparison.Ordinal);
        }

        Assert.DoesNotContain(" ERR ", server.Log, StringComparison.Ordinal);
        Assert.DoesNotContain("defect", server.Log, StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [InlineData("json")]
    [InlineData("npy")]
    [InlineData("f16_base64")]
    public async Task An_answer_that_is_not_taken_is_cut_and_not_logged_as_200(string format)
    {
        var body = $$"""{"text": "{{string.Join(' ', Enumerable.Repeat("banco", 250))}}", "truncate": true, "format": "{{format}}"}""";
        using var socket = await SendAsync(Head(body.Length, $"x-request-id: unread-{format}\r\n", "/api/models/demo-bert/attention") + body);
        var line = await LineAsync($"unread-{format}");
        Assert.True(line.Contains(" 504 ", StringComparison.Ordinal), line);
    }

    [Theory]
    [InlineData("demo-bert/embeddings", """{"inputs": ["a", "LONG"], "truncate": true}""", "inputs[1]")]
    [InlineData("demo-bert/embeddings", """{"inputs": ["a"], "pairs": ["LONG"], "truncate": true}""", "pairs[0]")]
    [InlineData("demo-bert/tokenize", """{"inputs": ["a", "LONG"]}""", "inputs[1]")]
    [InlineData("demo-bert/tokenize", """{"inputs": "a", "pairs": "LONG"}""", "pairs[0]")]
    [InlineData("demo-bert/attention", """{"text": "LONG", "truncate": true}""", "text")]
    [InlineData("demo-bert/rerank", """{"query": "a", "documents": ["a", "LONG"]}""", "documents[1]")]
    [InlineData("demo-bert/similarity", """{"source": "LONG", "sentences": ["a"]}""", "source")]
    [InlineData("demo-bert/predictions", """{"inputs": "a [MASK]", "parameters": {"targets": ["LONG"]}}""", "parameters.targets[0]")]
    [InlineData("demo-gpt/predictions", """{"inputs": "LONG"}""", "inputs")]
    [InlineData("demo-language/predictions", """{"inputs": ["LONG"]}""", "inputs[0]")]
    public async Task A_text_of_too_many_characters_is_refused_before_it_is_tokenised(string path, string body, string field)
    {
        var answer = await server.Client.PostAsync("/api/models/" + path, body.Replace("LONG", new string('a', 2001), StringComparison.Ordinal));
        Assert.Equal((422, field), (answer.Status, (string?)answer.Json["field"]));
        Assert.EndsWith("has 2001 characters; a text may have 2000. Send it in parts. (setting Limits:MaxTextCharacters)", (string)answer.Json["detail"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_body_that_comes_more_slowly_than_the_least_rate_is_408()
    {
        await using var patient = await ServerProcess.StartAsync(Repository.Models, new Dictionary<string, string?> { ["Limits__MinBytesPerSecond"] = "1000000" }); // a body that stops is soon below it
        using var socket = await SendAsync(Head(1000) + "{", patient);
        var answer = await ReadAsync(socket);
        Assert.StartsWith("HTTP/1.1 408 ", answer, StringComparison.Ordinal);
        Assert.Contains("The body came more slowly than 1000000 bytes a second (setting Limits:MinBytesPerSecond).", answer, StringComparison.Ordinal);
        Assert.Contains("urn:inference-server:error:request-timeout", answer, StringComparison.Ordinal);
        patient.AssertCleanLog();
    }

    [Fact]
    public async Task A_chunk_size_that_overflows_is_400()
    {
        using var socket = await SendAsync($"POST {Path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{{}}");
        Assert.StartsWith("HTTP/1.1 400 ", await ReadAsync(socket), StringComparison.Ordinal);
    }

    private static string Head(int length, string headers = "", string path = Path) =>
        string.Create(CultureInfo.InvariantCulture, $"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n");

    private static async Task<string> ReadAsync(Socket socket)
    {
        var buffer = new byte[1 << 14];
        var text = new StringBuilder();
        while (await socket.ReceiveAsync(buffer, TestContext.Current.CancellationToken) is > 0 and var count)
        {
            text.Append(Encoding.UTF8.GetString(buffer, 0, count));
            if (text.ToString() is var answer && answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) is > 0 and var end && (answer.Length > end + 4 || answer.StartsWith("HTTP/1.1 100", StringComparison.Ordinal)))
            {
                break; // a problem comes in one piece
            }
        }

        return text.ToString();
    }

    private async Task<Socket> SendAsync(string text, ServerProcess? other = null)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveBufferSize = 4096 };
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, (other ?? server).Client.BaseAddress!.Port), TestContext.Current.CancellationToken);
        await socket.SendAsync(Encoding.ASCII.GetBytes(text), TestContext.Current.CancellationToken);
        return socket;
    }

    private Task<string> LineAsync(string id) => server.LineAsync(line => line.Contains("id " + id, StringComparison.Ordinal) && line.EndsWith(id, StringComparison.Ordinal));
}
