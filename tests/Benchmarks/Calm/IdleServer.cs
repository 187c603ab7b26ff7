using InferenceServer.Benchmarks.Client;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>A server that nobody asks uses no processor time: nothing spins.</summary>
internal static class IdleServer
{
    private const double Seconds = 10;
    private const double MostProcessorSeconds = 0.05;

    /// <summary>Runs it.</summary>
    public static async Task<CalmTable> RunAsync(CalmOptions options)
    {
        using var folder = ModelsFolder.WithMiniLM();
        using var bodies = CalmBenchmark.TwelveWords(1);
        using var server = await MeasuredServer.StartAsync(folder.Path);
        await ClientProcess.RunAsync(server.Load(folder.Model, bodies) with { Connections = 8, Seconds = options.Time(5) });
        await ClientProcess.RunAsync(server.Load(folder.Model, bodies) with { Connections = 1, Seconds = options.Time(5) });
        var soon = await IdleAsync();
        var later = await IdleAsync();
        return new CalmTable("An idle server", $"After a load of 8 connections and one of 1 connection.")
            .Add($"CPU seconds in the first {Seconds} s after the load", $"{soon:0.00}")
            .Add($"CPU seconds in the next {Seconds} s", $"{later:0.00}", $"<= {MostProcessorSeconds}", later <= MostProcessorSeconds);

        async Task<double> IdleAsync()
        {
            var before = server.ProcessorSeconds;
            await Task.Delay(TimeSpan.FromSeconds(Seconds));
            return server.ProcessorSeconds - before;
        }
    }
}
