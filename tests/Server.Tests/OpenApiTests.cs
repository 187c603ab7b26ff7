using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>What the OpenAPI document promises is what the code answers, status by status.</summary>
[Collection(ServerCollection.Name)]
public sealed class OpenApiTests(DemoServer demo)
{
    /// <summary>Statuses that a test of one running server cannot provoke on purpose, and why.</summary>
    private static readonly Dictionary<int, string> Elsewhere = new()
    {
        [401] = "no credentials are configured by default",
        [408] = "ProblemWriterTests: a body that comes too slowly, ten seconds at least",
        [409] = "FailedFolderTests: a folder that could not be loaded",
        [429] = "OverloadTests, on a server with a small queue",
        [500] = "a defect; there is none to provoke",
        [503] = "FailedFolderTests, ShutdownTests: no model is ready, or the server is ending",
        [504] = "DeadlineTests: a deadline of no length",
    };

    private const int LeastOperations = 12;

    private static readonly string[] Verbs = ["get", "put", "post", "delete", "patch"];

    [Fact]
    public async Task Every_operation_is_described_and_its_examples_succeed()
    {
        var document = await DocumentAsync();
        var wrong = new List<string>();
        foreach (var (path, method, operation) in Operations(document))
        {
            var name = $"{method} {path}";
            if (string.IsNullOrWhiteSpace((string?)operation["summary"]))
            {
                wrong.Add($"{name} has no summary");
            }

            if (operation["responses"]!.AsObject().Any(r => string.IsNullOrWhiteSpace((string?)r.Value!["description"])))
            {
                wrong.Add($"{name} has a status without description");
            }

            foreach (var (example, model, body) in Bodies(document, operation))
            {
                var filled = model is null ? Fill(document, path, operation) : path.Replace("{model}", model, StringComparison.Ordinal);
                var answer = await SendAsync(method, filled, body.ToJsonString());
                if (answer.Status is < 200 or > 299)
                {
                    wrong.Add($"{name}, example {example}: {answer.Status} {answer.Body}");
                }
            }

            if (operation["requestBody"] is null && await SendAsync(method, Fill(document, path, operation), null) is { Status: < 200 or > 299 } failed)
            {
                wrong.Add($"{name}: {failed.Status} {failed.Body}");
            }
            else if (operation["requestBody"] is not null && !Bodies(document, operation).Any())
            {
                wrong.Add($"{name} has no example");
            }
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Fact]
    public async Task Every_status_that_the_code_answers_is_documented_and_the_other_way_round()
    {
        var document = await DocumentAsync();
        var operations = Operations(document);
        var answered = operations.ToDictionary(o => $"{o.Method} {o.Path}", _ => new SortedSet<int>());
        async Task Provoke(string method, string path, string? body, string contentType = "application/json")
        {
            var operation = operations.FirstOrDefault(o => o.Method == method && Matches(o.Path, path));
            if (operation.Operation is not null)
            {
                answered[$"{operation.Method} {operation.Path}"].Add((await SendAsync(method, path, body, contentType)).Status);
            }
        }

        foreach (var (path, method, operation) in operations)
        {
            var filled = Fill(document, path, operation);
            if (path.Contains('{', StringComparison.Ordinal))
            {
                await Provoke(method, path.Replace("{model}", "nothing", StringComparison.Ordinal), Bodies(document, operation).Select(b => b.Body.ToJsonString()).FirstOrDefault());
            }

            if (operation["requestBody"] is null)
            {
                await Provoke(method, filled, null);
                continue;
            }

            foreach (var (_, model, body) in Bodies(document, operation))
            {
                await Provoke(method, model is null ? filled : path.Replace("{model}", model, StringComparison.Ordinal), body.ToJsonString());
            }

            await Provoke(method, filled, "{");
            await Provoke(method, filled, "{}", "text/plain");
            await Provoke(method, filled, $"{{\"inputs\": \"{new string('a', 1 << 20)}\"}}");
        }

        foreach (var bad in BadInputTests.Demo.Where(b => b.Method is null))
        {
            await Provoke(bad.Body is null ? "get" : "post", bad.Path, bad.Body, bad.ContentType);
        }

        var wrong = new List<string>();
        foreach (var (path, method, operation) in operations)
        {
            var documented = operation["responses"]!.AsObject().Select(r => int.Parse(r.Key, System.Globalization.CultureInfo.InvariantCulture)).ToArray();
            var seen = answered[$"{method} {path}"];
            wrong.AddRange(seen.Except(documented).Where(s => s != 405).Select(s => $"{method} {path} answers {s}, which is not documented"));
            wrong.AddRange(documented.Except(seen).Where(s => !Elsewhere.ContainsKey(s)).Select(s => $"{method} {path} documents {s}, which was never answered"));
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Fact]
    public async Task Errors_are_problem_documents_and_enumerations_are_texts()
    {
        var document = await DocumentAsync();
        var problems = 0;
        foreach (var (path, method, operation) in Operations(document))
        {
            foreach (var (status, response) in operation["responses"]!.AsObject().Where(r => r.Key[0] is '4' or '5'))
            {
                if (response!["content"] is { } content)
                {
                    Assert.True(content["application/problem+json"] is not null, $"{method} {path} {status}: {content.ToJsonString()}");
                    problems++;
                }
            }
        }

        Assert.True(problems >= LeastOperations, $"{problems} errors are described, of at least {LeastOperations}");

        var enumerations = Descendants(document).OfType<JsonObject>().Where(o => o["enum"] is JsonArray).ToArray();
        Assert.NotEmpty(enumerations);
        Assert.All(enumerations, e => Assert.All(e["enum"]!.AsArray(), v => Assert.True(v is null || v.GetValueKind() == System.Text.Json.JsonValueKind.String)));
    }

    private static IEnumerable<JsonNode> Descendants(JsonNode node) => node switch
    {
        JsonObject o => o.Select(p => p.Value).OfType<JsonNode>().SelectMany(Descendants).Prepend(o),
        JsonArray a => a.OfType<JsonNode>().SelectMany(Descendants).Prepend(a),
        _ => [node],
    };

    private static (string Path, string Method, JsonNode Operation)[] Operations(JsonNode document)
    {
        (string, string, JsonNode)[] operations =
        [
            .. from path in document["paths"]!.AsObject()
               from operation in path.Value!.AsObject()
               where Verbs.Contains(operation.Key)
               select (path.Key, operation.Key, operation.Value!),
        ];
        Assert.True(operations.Length >= LeastOperations, $"the document has {operations.Length} operations, of at least {LeastOperations}");
        return operations;
    }

    /// <summary>The examples of a body; the summary of one among several ends in the model that it runs on.</summary>
    private static IEnumerable<(string Name, string? Model, JsonNode Body)> Bodies(JsonNode document, JsonNode operation)
    {
        var content = operation["requestBody"]?["content"]?["application/json"];
        if (content?["example"] is { } example)
        {
            yield return ("example", null, example);
        }

        foreach (var (name, value) in content?["examples"] as JsonObject ?? [])
        {
            var one = Resolve(document, value!);
            yield return (name, ((string?)one["summary"])?.Split(' ')[^1], one["value"]!);
        }
    }

    private static JsonNode Resolve(JsonNode document, JsonNode node) => (string?)node["$ref"] is { } reference
        ? reference.TrimStart('#', '/').Split('/').Aggregate(document, (at, name) => at[name]!)
        : node;

    /// <summary>The path with the examples of its parameters.</summary>
    private static string Fill(JsonNode document, string path, JsonNode operation)
    {
        foreach (var parameter in operation["parameters"]?.AsArray().Select(p => Resolve(document, p!)) ?? [])
        {
            var example = parameter["example"] ?? parameter["schema"]?["example"] ?? parameter["schema"]?["default"] ?? parameter["examples"]?.AsObject().First().Value?["value"];
            path = path.Replace($"{{{parameter["name"]}}}", example?.ToString() ?? "", StringComparison.Ordinal);
        }

        return path;
    }

    private static bool Matches(string template, string path)
    {
        var (a, b) = (template.Split('/'), path.Split('/'));
        return a.Length == b.Length && a.Zip(b).All(p => p.First == p.Second || (p.First.StartsWith('{') && p.Second.Length > 0));
    }

    private async Task<JsonNode> DocumentAsync() => (await demo.Client.ReadAsync("/swagger/v1/swagger.json")).Ok;

    private Task<Answer> SendAsync(string method, string path, string? body, string contentType = "application/json")
    {
        var request = new HttpRequestMessage(new HttpMethod(method.ToUpperInvariant()), path);
        if (body is not null)
        {
            request.Content = new ByteArrayContent(System.Text.Encoding.UTF8.GetBytes(body));
            request.Content.Headers.TryAddWithoutValidation("content-type", contentType);
        }

        return demo.Client.AskAsync(request);
    }
}
