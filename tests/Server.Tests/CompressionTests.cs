using System.IO.Compression;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>Bodies that come compressed count decompressed and are refused by what is wrong with them; answers are compressed for clients that take it.</summary>
[Collection(ServerCollection.Name)]
public sealed class CompressionTests(DemoServer demo)
{
    private const string Tokenize = "/api/models/demo-bert/tokenize";
    private const string Body = """{"inputs": ["O gato dorme no sofá."]}""";

    [Theory]
    [InlineData("gzip")]
    [InlineData("GZip")]
    [InlineData("deflate")]
    [InlineData("br")]
    [InlineData("identity")]
    public async Task A_body_is_read_in_the_encoding_that_it_names(string encoding)
    {
        var plain = (await demo.Client.PostAsync(Tokenize, Body)).Ok;
        var answer = await SendAsync(encoding, Compress(encoding, Encoding.UTF8.GetBytes(Body)));
        Assert.Equal(plain["items"]!.ToJsonString(), answer.Ok["items"]!.ToJsonString());
    }

    [Theory]
    [InlineData("zstd")]
    [InlineData("compress")]
    [InlineData("gzip, gzip")]
    [InlineData("no such thing")]
    public async Task Another_encoding_is_415_that_names_what_is_read(string encoding)
    {
        var answer = await SendAsync(encoding, Encoding.UTF8.GetBytes(Body));
        Assert.Equal(415, answer.Status);
        Assert.Contains($"'{encoding}'", (string)answer.Json["detail"]!, StringComparison.Ordinal);
        Assert.Contains("gzip, deflate, br", (string)answer.Json["detail"]!, StringComparison.Ordinal);
        Assert.Equal("gzip, deflate, br", string.Join(", ", answer.Headers.GetValues("Accept-Encoding")));
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("deflate")]
    [InlineData("br")]
    public async Task The_limit_counts_what_comes_out(string encoding)
    {
        // Some 64 MB of spaces: a few kilobytes as they are sent, and the limit of this server is one megabyte.
        var bomb = Compress(encoding, Encoding.UTF8.GetBytes("{\"inputs\": \"a\"" + new string(' ', 64 << 20) + "}"));
        Assert.True(bomb.Length < 1 << 18, $"{bomb.Length} bytes");
        var answer = await SendAsync(encoding, bomb);
        Assert.Equal(413, answer.Status);
        Assert.Contains("1048576 bytes (setting Limits:MaxBodyBytes", (string)answer.Json["detail"]!, StringComparison.Ordinal);
        Assert.Contains("decompressed", (string)answer.Json["detail"]!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("deflate")]
    [InlineData("br")]
    public async Task A_stream_that_is_broken_is_400(string encoding)
    {
        var whole = Compress(encoding, Encoding.UTF8.GetBytes(Body));
        foreach (var broken in (byte[][])[whole[..(whole.Length / 2)], whole[..^1], [0xFF, 0xFE, .. whole[2..]], Encoding.UTF8.GetBytes(Body)])
        {
            var answer = await SendAsync(encoding, broken);
            Assert.True(answer.Status == 400, $"{answer.Status}: {answer.Body}");
            Assert.Contains("decompressed", (string)answer.Json["detail"]!, StringComparison.Ordinal);
        }

        demo.Process.AssertCleanLog();
    }

    [Fact]
    public async Task An_empty_stream_is_an_empty_body()
    {
        var answer = await SendAsync("gzip", Compress("gzip", []));
        Assert.Equal(400, answer.Status);
        Assert.Contains("empty", (string)answer.Json["detail"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_wrong_field_is_named_in_a_compressed_body_too()
    {
        var answer = await SendAsync("br", Compress("br", Encoding.UTF8.GetBytes("""{"inputs": "a", "trunkate": true}""")));
        Assert.Equal(400, answer.Status);
        Assert.Equal("trunkate", (string?)answer.Json["field"]);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    public async Task A_large_answer_is_compressed_for_who_takes_it_and_a_small_one_is_not(string encoding)
    {
        var many = $$"""{"inputs": [{{string.Join(',', Enumerable.Repeat("\"O gato dorme no sofá.\"", 100))}}]}""";
        var plain = (await demo.Client.PostAsync(Tokenize, many)).Ok;
        var (used, text, sent) = await AskAsync(demo.Client, many, encoding);
        Assert.Equal(encoding, used);
        Assert.Equal(plain.ToJsonString(), JsonNode.Parse(text)!.ToJsonString());
        Assert.True(sent * 3 < Encoding.UTF8.GetByteCount(text), $"{sent} bytes for {text.Length} characters");

        (used, text, _) = await AskAsync(demo.Client, Body, encoding);
        Assert.Null(used);
        Assert.Contains("items", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_setting_turns_it_off()
    {
        await using var server = await ServerProcess.StartAsync(Repository.Models, new Dictionary<string, string?> { ["Compression__Answers"] = "false" });
        var many = $$"""{"inputs": [{{string.Join(',', Enumerable.Repeat("\"O gato dorme no sofá.\"", 100))}}]}""";
        var (used, text, _) = await AskAsync(server.Client, many, "gzip");
        Assert.Null(used);
        Assert.Equal(100, JsonNode.Parse(text)!["items"]!.AsArray().Count);
    }

    private static async Task<(string? Encoding, string Text, int Bytes)> AskAsync(HttpClient client, string body, string encoding)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, Tokenize) { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue(encoding));
        using var answer = await client.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(200, (int)answer.StatusCode);
        var bytes = await answer.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken);
        var used = answer.Content.Headers.ContentEncoding.SingleOrDefault();
        using var source = new MemoryStream(bytes);
        using Stream reading = used switch { "gzip" => new GZipStream(source, CompressionMode.Decompress), "br" => new BrotliStream(source, CompressionMode.Decompress), _ => source };
        using var text = new StreamReader(reading);
        return (used, await text.ReadToEndAsync(TestContext.Current.CancellationToken), bytes.Length);
    }

    private Task<Answer> SendAsync(string encoding, byte[] body)
    {
        var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        Assert.True(content.Headers.TryAddWithoutValidation("Content-Encoding", encoding));
        return demo.Client.AskAsync(new HttpRequestMessage(HttpMethod.Post, Tokenize) { Content = content });
    }

    private static byte[] Compress(string encoding, byte[] body)
    {
        using var target = new MemoryStream();
        using (Stream stream = encoding.ToLowerInvariant() switch
        {
            "gzip" => new GZipStream(target, CompressionLevel.Optimal, leaveOpen: true),
            "deflate" => new ZLibStream(target, CompressionLevel.Optimal, leaveOpen: true),
            "br" => new BrotliStream(target, CompressionLevel.Optimal, leaveOpen: true),
            _ => new MemoryStream(),
        })
        {
            stream.Write(body);
            if (stream is MemoryStream plain)
            {
                plain.WriteTo(target);
            }
        }

        return target.ToArray();
    }
}
