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
        var operations = await Operation.ReadAsync(client, cancellation);
        foreach (var operation in operations)
        {
            for (var number = seed; number < seed + count && Wrong.Count < 20; number++)
            {
                var (model, example) = operation.Examples[number % operation.Examples.Count];
                await SendAsync(operation.PathFor(model), Mutation.Of(example, number), number, operation.Documented, cancellation);
            }
        }

        return operations.Count;
    }

    private async Task SendAsync(string path, byte[] body, int number, IReadOnlySet<int> documented, CancellationToken cancellation)
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
