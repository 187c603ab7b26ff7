using InferenceServer.Benchmarks.Client;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>Hundreds of connections that each send one text after another: as many answers as at the peak.</summary>
internal static class ManyConnections
{
    private static readonly int[] PeakConnections = [32, 64];

    /// <summary>Runs it.</summary>
    public static async Task<CalmTable> RunAsync(CalmOptions options)
    {
        using var folder = ModelsFolder.WithMiniLM();
        using var bodies = CalmBenchmark.TwelveWords(1);
        using var server = await MeasuredServer.StartAsync(folder.Path);
        Task<LoadResult> LoadAsync(int connections, double seconds) =>
            ClientProcess.RunAsync(server.Load(folder.Model, bodies) with { Connections = connections, WarmUpSeconds = 4, Seconds = options.Time(seconds) });

        var peaks = new List<LoadResult>();
        foreach (var connections in PeakConnections)
        {
            peaks.Add(await LoadAsync(connections, 10));
        }

        var peak = peaks.MaxBy(p => p.TextsPerSecondWithoutClient)!;
        var table = new CalmTable("Many connections", $"Closed loop, one text of 12 words a request. Peak: the better of {string.Join(" and ", PeakConnections)} connections right before.")
            .Add("peak, texts/s (client's CPU)", $"{peak.TextsPerSecond:0} ({peak.ClientShare:0.0%})");
        foreach (var connections in (int[])[256, 600])
        {
            var result = await LoadAsync(connections, 20);
            var ratio = result.TextsPerSecondWithoutClient / peak.TextsPerSecondWithoutClient;
            table.Add($"{connections} connections: texts/s (client's CPU)", $"{result.TextsPerSecond:0} ({result.ClientShare:0.0%})")
                .Add($"{connections} connections: goodput / peak, the client's CPU taken out of both", $"{ratio:0.00}", $">= 0.90", ratio >= 0.9)
                .Add($"{connections} connections: p50 / p99 ms", $"{result.Milliseconds[0]:0} / {result.Milliseconds[2]:0}")
                .Add($"{connections} connections: answers by status", $"{result.StatusLine}", $"200 only", result.Statuses.Keys.All(s => s == 200));
        }

        return table;
    }
}
