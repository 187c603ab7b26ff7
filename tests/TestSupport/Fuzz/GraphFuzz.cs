using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.TestSupport.Fuzz;

/// <summary>
/// Folders whose graph was changed, many at a time in a server process of their own: each loads or is refused with a reason that somebody wrote, what loads answers with a
/// documented status, and the process goes on. Where the process ends the folders are tried in halves, until the one is found that ends it.
/// </summary>
/// <param name="zoo">The folder of the small models.</param>
public sealed class GraphFuzz(string zoo)
{
    private const int AtOnce = 100;
    private const string Sound = "sound"; // one folder as it is: the server becomes ready when all others are done
    private static readonly string[] Sources = ["bert-embed-cls-dense", "bert-classify", "gpt2-with-past", "llama-genai-gqa", "bert-dynamo-opset23", "t5-small-like"];

    /// <summary>Folders by what became of them.</summary>
    public SortedDictionary<string, int> Outcomes { get; } = [];

    /// <summary>What was wrong, with what gives it again.</summary>
    public List<string> Wrong { get; } = [];

    /// <summary>Graphs on which the process ended: the runtime's own defects, since what is ours would be an exception.</summary>
    public List<string> Crashes { get; } = [];

    /// <summary>Most resident memory of a server in MiB.</summary>
    public double MostMiB { get; private set; }

    /// <summary>Tries so many graphs, those of the numbers from <paramref name="first"/> on.</summary>
    public async Task RunAsync(int count, int first)
    {
        for (var from = first; from < first + count; from += AtOnce)
        {
            await TryAsync([.. Enumerable.Range(from, Math.Min(AtOnce, first + count - from))]);
        }
    }

    private async Task TryAsync(int[] numbers)
    {
        using var directory = new TemporaryFolder();
        foreach (var number in numbers)
        {
            var source = Path.Combine(zoo, Sources[number % Sources.Length]);
            var folder = Path.Combine(directory.Path, Id(number));
            TemporaryFolder.Copy(source, folder, file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
            var graphs = Directory.GetFiles(folder, "*.onnx").Order(StringComparer.Ordinal).ToArray();
            var graph = graphs[number / Sources.Length % graphs.Length];
            await File.WriteAllBytesAsync(graph, GraphMutation.Of(await File.ReadAllBytesAsync(graph), number));
        }

        TemporaryFolder.Copy(Path.Combine(zoo, Sources[1]), Path.Combine(directory.Path, Sound));
        try
        {
            await using var server = await ServerProcess.StartAsync(directory.Path, new Dictionary<string, string?> { ["Execution__LoadTimeoutSeconds"] = "10", ["Execution__RunTimeoutSeconds"] = "5" });
            await AskAsync(server, numbers);
            MostMiB = Math.Max(MostMiB, server.MostResidentMiB);
            if (server.Log.Split('\n').FirstOrDefault(line => line.StartsWith("   at ", StringComparison.Ordinal)) is not null)
            {
                Wrong.Add($"a stack in the log of {numbers[0]} to {numbers[^1]}: {server.Log}");
            }
        }
        catch (Exception e) when (e is InvalidOperationException or HttpRequestException or TimeoutException)
        {
            if (numbers.Length == 1)
            {
                Crashes.Add($"{Sources[numbers[0] % Sources.Length]} number {numbers[0]}: {e.Message.Split('\n')[0]}");
                Count("process ended");
                return;
            }

            await TryAsync(numbers[..(numbers.Length / 2)]);
            await TryAsync(numbers[(numbers.Length / 2)..]);
        }
    }

    private async Task AskAsync(ServerProcess server, int[] numbers)
    {
        var list = (await server.Client.GetFromJsonAsync<JsonNode>("/api/models"))!["models"]!.AsArray();
        foreach (var model in list.Select(m => m!))
        {
            var id = (string)model["id"]!;
            if (id == Sound)
            {
                continue;
            }

            if ((string)model["state"]! != "ready")
            {
                Count("refused");
                if (((string?)model["reason"])?.Contains("unexpected error", StringComparison.Ordinal) != false)
                {
                    Wrong.Add($"{id}: {model["state"]}, {model["reason"]}");
                }

                continue;
            }

            var tasks = model["tasks"]!.AsArray().Select(t => (string)t!).ToHashSet();
            var (path, body) = tasks.Contains("embeddings") ? ("embeddings", """{"inputs": "The cat sleeps."}""")
                : tasks.Contains("generation") ? ("generations", """{"prompt": "The cat", "max_new_tokens": 4}""")
                : tasks.Contains("text-classification") || tasks.Contains("fill-mask") ? ("predictions", """{"inputs": "The cat sleeps."}""")
                : ("tokenize", """{"inputs": "The cat sleeps."}""");
            using var content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
            using var answer = await server.Client.PostAsync($"/api/models/{id}/{path}", content);
            var text = await answer.Content.ReadAsStringAsync();
            var status = (int)answer.StatusCode;
            Count(string.Create(CultureInfo.InvariantCulture, $"loaded, answers {status}"));
            if (status is not (200 or 413 or 422 or 503 or 504) && !text.Contains("not-finite", StringComparison.Ordinal))
            {
                Wrong.Add($"{id} ({Sources[int.Parse(id[1..], CultureInfo.InvariantCulture) % Sources.Length]}): {status} {text}");
            }
        }

        if (list.Count != numbers.Length + 1)
        {
            Wrong.Add($"{list.Count - 1} of {numbers.Length} folders were looked at");
        }
    }

    private static string Id(int number) => string.Create(CultureInfo.InvariantCulture, $"g{number}");

    private void Count(string outcome) => Outcomes[outcome] = Outcomes.GetValueOrDefault(outcome) + 1;
}
