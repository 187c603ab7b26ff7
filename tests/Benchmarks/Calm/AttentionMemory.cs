using System.Text.Json;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>Resident memory before and after a model is asked for its attention for the first time.</summary>
internal static class AttentionMemory
{
    private const double MostTimes = 1.25;

    /// <summary>Runs it.</summary>
    public static async Task<CalmTable> RunAsync(CalmOptions options)
    {
        using var folder = ModelsFolder.WithMiniLM();
        using var bodies = CalmBenchmark.TwelveWords(1);
        using var server = await MeasuredServer.StartAsync(folder.Path);
        var ready = server.ResidentMiB;
        foreach (var body in bodies.Bodies.Take(20))
        {
            await server.PostAsync(ServerSettings.EmbeddingsPath(folder.Model), body);
        }

        await Task.Delay(TimeSpan.FromSeconds(2));
        var before = server.ResidentMiB;
        var milliseconds = await server.PostAsync(ServerSettings.AttentionPath(folder.Model), JsonSerializer.Serialize(new { text = Texts.OfWords(1, 12, 12)[0] }));
        var after = server.ResidentMiB;
        await Task.Delay(TimeSpan.FromSeconds(5));
        var later = server.ResidentMiB;
        return new CalmTable("Memory of attention", $"{folder.Model} loaded, 20 texts of 12 words embedded, then the attention of one text of 12 words.")
            .Add("RSS MiB when ready", $"{ready:0}")
            .Add("RSS MiB before", $"{before:0}")
            .Add("the attention request, ms", $"{milliseconds:0}")
            .Add("RSS MiB right after; 5 s later", $"{after:0}; {later:0}")
            .Add("after / before, the larger of both", $"{Math.Max(after, later) / before:0.00}", $"<= {MostTimes}", Math.Max(after, later) / before <= MostTimes);
    }
}
