using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>Many small models in one folder: they share one pool of workers.</summary>
internal static class ManyModels
{
    private const int Models = 30;

    /// <summary>Runs it.</summary>
    public static async Task<CalmTable> RunAsync(CalmOptions options)
    {
        var one = await MeasureAsync(1);
        var many = await MeasureAsync(Models);
        var threads = many.Threads - one.Threads;
        return new CalmTable("Many models", $"Copies of demo-bert in one folder, each asked once.")
            .Add($"threads with 1 / {Models} models, when ready", $"{one.ThreadsReady} / {many.ThreadsReady}")
            .Add($"threads with 1 / {Models} models, each asked once", $"{one.Threads} / {many.Threads}", $"difference < {Models / 2}", threads < Models / 2)
            .Add($"RSS MiB with 1 / {Models} models, each asked once", $"{one.ResidentMiB:0} / {many.ResidentMiB:0}")
            .Add($"seconds to ready with 1 / {Models} models", $"{one.ReadySeconds:0.0} / {many.ReadySeconds:0.0}")
            .Add($"median of the {Models} first requests, ms", $"{many.Milliseconds:0.0}");
    }

    private static async Task<Measurement> MeasureAsync(int models)
    {
        using var folder = ModelsFolder.Copies(models);
        using var bodies = CalmBenchmark.TwelveWords(1);
        using var server = await MeasuredServer.StartAsync(folder.Path);
        var threads = server.Threads;
        var milliseconds = new List<double>();
        for (var i = 0; i < models; i++)
        {
            milliseconds.Add(await server.PostAsync(ServerSettings.EmbeddingsPath(ModelsFolder.NameOfCopy(i)), bodies.Bodies[i]));
        }

        return new Measurement(threads, server.Threads, server.ResidentMiB, server.ReadySeconds, Statistics.Median(milliseconds));
    }

    private sealed record Measurement(int ThreadsReady, int Threads, double ResidentMiB, double ReadySeconds, double Milliseconds);
}
