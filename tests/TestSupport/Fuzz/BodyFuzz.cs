using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.TestSupport.Fuzz;

/// <summary>Changed bodies for every endpoint that takes one, over real HTTP: each gets an answer that its operation documents, soon.</summary>
/// <param name="client">Speaks to the server.</param>
public sealed class BodyFuzz(HttpClient client)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Answers by status.</summary>
    public SortedDictionary<int, int> Statuses { get; } = [];

    /// <summary>What was wrong, with what gives it again.</summary>
    public List<string> Wrong { get; } = [];

    /// <summary>Sends so many bodies to every endpoint, those of the numbers from <paramref name="seed"/> on. Gives the number of endpoints.</summary>
    public async Task<int> RunAsync(int count, int seed, CancellationToken cancellation = default)
    {
        var document = JsonNode.Parse(await client.GetStringAsync("/swagger/v1/swagger.json", cancellation))!;
        var endpoints = 0;
        foreach (var (path, operations) in document["paths"]!.AsObject())
        {
            if (operations!["post"] is not { } operation || Examples(document, operation).ToList() is not { Count: > 0 } examples)
            {
                continue;
            }

            endpoints++;
            var documented = operation["responses"]!.AsObject().Select(r => int.Parse(r.Key, CultureInfo.InvariantCulture)).ToHashSet();
            for (var number = seed; number < seed + count && Wrong.Count < 20; number++)
            {
                var (model, example) = examples[number % examples.Count];
                await SendAsync(path.Replace("{model}", model, StringComparison.Ordinal), Mutation.Of(example, number), number, documented, cancellation);
            }
        }

        return endpoints;
    }

    // The examples of the document, each with the model that it runs on: the parameter's own, or the last word of its summary.
    private static IEnumerable<(string Model, string Body)> Examples(JsonNode document, JsonNode operation)
    {
        var content = operation["requestBody"]?["content"]?["application/json"];
        var model = operation["parameters"]?.AsArray().Select(p => Resolve(document, p!)).Select(p => (p["example"] ?? p["schema"]?["example"] ?? p["schema"]?["default"])?.ToString()).FirstOrDefault(e => e is not null);
        if (content?["example"] is { } example && model is not null)
        {
            yield return (model, example.ToJsonString());
        }

        foreach (var (_, value) in content?["examples"] as JsonObject ?? [])
        {
            var one = Resolve(document, value!);
            yield return (((string?)one["summary"])?.Split(' ')[^1] ?? model ?? "", one["value"]!.ToJsonString());
        }
    }

    private static JsonNode Resolve(JsonNode document, JsonNode node) => (string?)node["$ref"] is { } reference
        ? reference.TrimStart('#', '/').Split('/').Aggregate(document, (at, name) => at[name]!)
        : node;

    private async Task SendAsync(string path, byte[] body, int number, HashSet<int> documented, CancellationToken cancellation)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            using var content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            limit.CancelAfter(4 * Patience);
            using var answer = await client.PostAsync(path, content, limit.Token);
            var text = await answer.Content.ReadAsStringAsync(limit.Token);
            var status = (int)answer.StatusCode;
            Statuses[status] = Statuses.GetValueOrDefault(status) + 1;
            if (!documented.Contains(status) || status == 500)
            {
                Wrong.Add($"{path} number {number}: {status} {text}");
            }
            else if (status >= 400 && (JsonNode.Parse(text) is not JsonObject problem || problem["detail"] is null || problem["request_id"] is null))
            {
                Wrong.Add($"{path} number {number}: {status} without details: {text}");
            }
            else if (status < 400)
            {
                using var parsed = JsonDocument.Parse(text);
            }
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or OperationCanceledException)
        {
            cancellation.ThrowIfCancellationRequested();
            Wrong.Add($"{path} number {number}: {e.GetType().Name} {e.Message}");
        }

        if (Stopwatch.GetElapsedTime(started) > Patience)
        {
            Wrong.Add(string.Create(CultureInfo.InvariantCulture, $"{path} number {number}: {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s"));
        }
    }
}
