using InferenceServer.Benchmarks.Client;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>One bulk request after another beside four interactive connections: these keep their latency, and the bulk work still goes on.</summary>
internal static class BulkBesideInteractive
{
    private const int TextsOfBulk = 2000;
    private const int InteractiveConnections = 4;
    private const double MostTimes = 3;

    /// <summary>Runs it.</summary>
    public static async Task<CalmTable> RunAsync(CalmOptions options)
    {
        using var folder = ModelsFolder.WithMiniLM();
        using var texts = CalmBenchmark.TwelveWords(1);
        using var bulkTexts = CalmBenchmark.TwelveWords(TextsOfBulk);
        using var server = await MeasuredServer.StartAsync(folder.Path);
        var seconds = options.Time(20);
        Task<LoadResult> InteractiveAsync() =>
            ClientProcess.RunAsync(server.Load(folder.Model, texts) with { Connections = InteractiveConnections, WarmUpSeconds = 2, Seconds = seconds });

        var alone = await InteractiveAsync();
        var table = new CalmTable("Bulk beside interactive", $"{InteractiveConnections} connections in closed loop, one text of 12 words a request, beside one connection that sends one request of {TextsOfBulk} texts of 12 words after another.")
            .Add("alone: interactive texts/s, p50 / p95 ms", $"{alone.TextsPerSecond:0}, {alone.Milliseconds[0]:0.0} / {alone.Milliseconds[1]:0.0}");
        foreach (var header in (string?[])[null, "bulk"])
        {
            // Begins before the interactive load and goes on until after it.
            var bulkLoad = ClientProcess.RunAsync(server.Load(folder.Model, bulkTexts) with
            {
                WarmUpSeconds = 3,
                Seconds = seconds + 1,
                Headers = header is null ? new Dictionary<string, string>() : new Dictionary<string, string> { [ServerSettings.PriorityHeader] = header },
            });
            await Task.Delay(TimeSpan.FromSeconds(1));
            var interactive = await InteractiveAsync();
            var bulk = await bulkLoad;
            var times = interactive.Milliseconds[1] / alone.Milliseconds[1];
            var name = header is null ? "bulk without a header" : $"bulk with {ServerSettings.PriorityHeader}: {header}";
            table.Add($"{name}: interactive texts/s, p50 / p95 ms", $"{interactive.TextsPerSecond:0}, {interactive.Milliseconds[0]:0.0} / {interactive.Milliseconds[1]:0.0}")
                .Add($"{name}: interactive p95 / p95 alone", $"{times:0.0}", $"<= {MostTimes}", times <= MostTimes)
                .Add($"{name}: bulk texts/s", $"{bulk.TextsPerSecond:0}", $"> 0", bulk.TextsPerSecond > 0)
                .Add($"{name}: answers by status, interactive; bulk", $"{interactive.StatusLine}; {bulk.StatusLine}", $"200 only", interactive.Statuses.Keys.Concat(bulk.Statuses.Keys).All(s => s == 200));
        }

        return table;
    }
}
