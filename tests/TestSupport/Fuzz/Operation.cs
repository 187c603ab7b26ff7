using System.Globalization;
using System.Text.Json.Nodes;

namespace InferenceServer.TestSupport.Fuzz;

/// <summary>An operation that takes a body, as the OpenAPI document has it.</summary>
/// <param name="Path">Its path, with <c>{model}</c>.</param>
/// <param name="Documented">Statuses that it documents.</param>
/// <param name="Examples">Its examples, each with the model that it runs on.</param>
internal sealed record Operation(string Path, IReadOnlySet<int> Documented, IReadOnlyList<(string Model, string Body)> Examples)
{
    /// <summary>The path of one of its examples.</summary>
    public string PathFor(string model) => Path.Replace("{model}", model, StringComparison.Ordinal);

    /// <summary>All that the server describes, in the document's order.</summary>
    public static async Task<IReadOnlyList<Operation>> ReadAsync(HttpClient client, CancellationToken cancellation)
    {
        var document = JsonNode.Parse(await client.GetStringAsync("/swagger/v1/swagger.json", cancellation))!;
        return
        [
            .. from path in document["paths"]!.AsObject()
               let post = path.Value!["post"]
               where post is not null
               let examples = ExamplesOf(document, post).ToList()
               where examples.Count > 0
               select new Operation(path.Key, post["responses"]!.AsObject().Select(r => int.Parse(r.Key, CultureInfo.InvariantCulture)).ToHashSet(), examples),
        ];
    }

    // The examples of the document, each with the model that it runs on: the parameter's own, or the last word of its summary.
    private static IEnumerable<(string Model, string Body)> ExamplesOf(JsonNode document, JsonNode operation)
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
}
