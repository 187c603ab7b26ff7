using System.Globalization;
using InferenceServer.Benchmarks.Server;
using InferenceServer.TestSupport.Fuzz;

namespace InferenceServer.Benchmarks.Fuzz;

/// <summary>The verb <c>fuzz</c>: changed bodies to every endpoint of a server with the demo models, in numbers that a test run has no time for.</summary>
internal static class FuzzBenchmark
{
    private const int Bodies = 20_000; // an endpoint

    /// <summary>Runs it: [bodies an endpoint] [number of the first].</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        var count = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : Bodies;
        var seed = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 1_000_000;
        using var server = await MeasuredServer.StartAsync(Repository.Models);
        var before = server.ResidentMiB;
        var most = before;
        using var watch = new Timer(_ => most = Math.Max(most, server.ResidentMiB), null, 0, 100);
        var fuzz = new BodyFuzz(server.Http);
        var endpoints = await fuzz.RunAsync(count, seed);
        Console.WriteLine($"""
            {Report.Machine}
            | bodies | endpoints | answers by status | wrong | lines of stacks | RSS MiB before / most / after |
            |--:|--:|---|--:|--:|---|
            | {fuzz.Statuses.Values.Sum()} | {endpoints} | {string.Join(", ", fuzz.Statuses.Select(s => $"{s.Key}: {s.Value}"))} | {fuzz.Wrong.Count} | {server.LogLines("   at ")} | {before:0} / {most:0} / {server.ResidentMiB:0} |
            """);
        fuzz.Wrong.ForEach(Console.WriteLine);
        return fuzz.Wrong.Count == 0 && server.LogLines("   at ") == 0 ? 0 : 1;
    }
}
