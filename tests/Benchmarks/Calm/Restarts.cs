using InferenceServer.Benchmarks.Server;
using InferenceServer.Server.Tests;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>Two servers behind a proxy, restarted in turn under load: no client sees it.</summary>
internal static class Restarts
{
    private const int Count = 20;
    private const int Connections = 64;
    private const double DrainSeconds = 2;

    /// <summary>Runs it.</summary>
    public static async Task<CalmTable> RunAsync(CalmOptions options)
    {
        _ = options; // the restarts say how long it takes
        using var folder = ModelsFolder.Copies(1);
        var seen = await RollingRestart.RunAsync(folder.Path, ServerSettings.EmbeddingsPath(folder.Model), Texts.Body(Texts.OfWords(1, 12, 12)), Count, Connections, DrainSeconds, TimeSpan.Zero);
        foreach (var failure in seen.Failed.CountBy(f => f))
        {
            Console.Error.WriteLine($"{failure.Value} x {failure.Key}");
        }

        return new CalmTable(
                "Restarts behind a proxy",
                $"Two servers of the small demo model behind YARP, which asks both for /health/ready five times a second; {Count} restarts in turn with Shutdown:DrainSeconds {DrainSeconds}, {Connections} connections that send one text of 12 words after the other.")
            .Add("requests", $"{seen.Sent}")
            .Add("failed requests", $"{seen.Failed.Count}", $"0", seen.Failed.Count == 0)
            .Add("longest wait for an answer, ms", $"{seen.LongestMilliseconds:0}")
            .Add("seconds a restart, drain and start included", $"{seen.Seconds / Count:0.0}");
    }
}
