using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>An answer, read to its end.</summary>
public sealed record Answer(int Status, string Body, HttpResponseHeaders Headers, string? ContentType)
{
    /// <summary>The body as JSON.</summary>
    public JsonNode Json => JsonNode.Parse(Body) ?? throw new InvalidOperationException("null");

    /// <summary>The JSON of an answer that must be 200.</summary>
    public JsonNode Ok
    {
        get
        {
            Assert.True(Status == 200, $"{Status}: {Body}");
            return Json;
        }
    }
}

/// <summary>Requests as clients send them.</summary>
public static class Api
{
    /// <summary>POST of a JSON text.</summary>
    public static Task<Answer> PostAsync(this HttpClient client, string path, string json, string contentType = "application/json") =>
        client.AskAsync(new HttpRequestMessage(HttpMethod.Post, path) { Content = new ByteArrayContent(Encoding.UTF8.GetBytes(json)) { Headers = { ContentType = MediaTypeHeaderValue.Parse(contentType) } } });

    /// <summary>GET.</summary>
    public static Task<Answer> ReadAsync(this HttpClient client, string path) => client.AskAsync(new HttpRequestMessage(HttpMethod.Get, path));

    /// <summary>Sends a request and reads the answer to its end.</summary>
    public static async Task<Answer> AskAsync(this HttpClient client, HttpRequestMessage request)
    {
        using (request)
        {
            // As curl does: a large body waits for the server's word, so that a refusal is not lost in a broken pipe.
            request.Headers.ExpectContinue = request.Content?.Headers.ContentLength > 1 << 19;
            using var answer = await client.SendAsync(request, TestContext.Current.CancellationToken);
            var body = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
            return new Answer((int)answer.StatusCode, body, answer.Headers, answer.Content.Headers.ContentType?.MediaType);
        }
    }

    /// <summary>The names of an object's members, sorted.</summary>
    public static string Names(this JsonNode node) => string.Join(' ', node.AsObject().Select(p => p.Key).Order(StringComparer.Ordinal));

    /// <summary>A list of numbers.</summary>
    public static float[] Floats(this JsonNode? node) => [.. node!.AsArray().Select(n => n!.GetValue<float>())];
}
