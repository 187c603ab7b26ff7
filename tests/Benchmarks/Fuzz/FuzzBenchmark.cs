using System.Globalization;
using InferenceServer.Benchmarks.Server;
using InferenceServer.TestSupport.Fuzz;

namespace InferenceServer.Benchmarks.Fuzz;

/// <summary>The verb <c>fuzz</c>: changed bodies to every endpoint of a server with the demo models, requests changed around their body, changed files and graphs of model folders, in numbers that a test run has no time for.</summary>
internal static class FuzzBenchmark
{
    private const int Bodies = 20_000; // an endpoint
    private const int Requests = 20_000;
    private const int Files = 20_000;
    private const int Graphs = 5_000;

    /// <summary>Runs a mode: bodies [number an endpoint] [first], requests [number] [first], files [number] [first] or graphs [number] [first].</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        int Number(int at, int otherwise) => args.Length > at ? int.Parse(args[at], CultureInfo.InvariantCulture) : otherwise;
        var first = Number(2, 1_000_000);
        switch (args.FirstOrDefault())
        {
            case "bodies":
                return await BodiesAsync(Number(1, Bodies), first);
            case "requests":
                return await RequestsAsync(Number(1, Requests), first);
            case "files":
                return await FileFuzz.RunAsync(Number(1, Files), first);
            case "graphs":
                return await GraphsAsync(Number(1, Graphs), first);
            default:
                Console.Error.WriteLine("fuzz bodies|requests|files|graphs [number] [first]");
                return 2;
        }
    }

    private static async Task<int> BodiesAsync(int count, int seed)
    {
        using var server = await MeasuredServer.StartAsync(Repository.Models);
        var fuzz = new BodyFuzz(server.Http);
        return await ReportAsync(server, "bodies", async () => (await fuzz.RunAsync(count, seed)).ToString(CultureInfo.InvariantCulture) + " endpoints", fuzz.Statuses, fuzz.Wrong);
    }

    private static async Task<int> RequestsAsync(int count, int first)
    {
        using var server = await MeasuredServer.StartAsync(Repository.Models);
        var fuzz = new RequestFuzz(server.Http);
        return await ReportAsync(
            server,
            "requests",
            async () =>
            {
                await fuzz.RunAsync(count, first);
                return "0: ended without an answer";
            },
            fuzz.Statuses,
            fuzz.Wrong);
    }

    private static async Task<int> ReportAsync(MeasuredServer server, string what, Func<Task<string>> runAsync, SortedDictionary<int, int> statuses, List<string> wrong)
    {
        var before = server.ResidentMiB;
        var most = before;
        using var watch = new Timer(_ => most = Math.Max(most, server.ResidentMiB), null, 0, 100);
        var note = await runAsync();
        Console.WriteLine($"""
            {Report.Machine}
            | {what} | | answers by status | wrong | lines of stacks | RSS MiB before / most / after |
            |--:|---|---|--:|--:|---|
            | {statuses.Values.Sum()} | {note} | {string.Join(", ", statuses.Select(s => $"{s.Key}: {s.Value}"))} | {wrong.Count} | {server.LogLines("   at ")} | {before:0} / {most:0} / {server.ResidentMiB:0} |
            """);
        wrong.ForEach(Console.WriteLine);
        return wrong.Count == 0 && server.LogLines("   at ") == 0 ? 0 : 1;
    }

    private static async Task<int> GraphsAsync(int count, int first)
    {
        var fuzz = new GraphFuzz(TestData.Zoo);
        await fuzz.RunAsync(count, first);
        Console.WriteLine($"""
            {Report.Machine}
            | graphs | outcomes | wrong | processes that ended | most RSS MiB |
            |--:|---|--:|--:|--:|
            | {fuzz.Outcomes.Values.Sum()} | {string.Join(", ", fuzz.Outcomes.Select(o => $"{o.Key}: {o.Value}"))} | {fuzz.Wrong.Count} | {fuzz.Crashes.Count} | {fuzz.MostMiB:0} |
            """);
        fuzz.Wrong.ForEach(Console.WriteLine);
        fuzz.Crashes.ForEach(Console.WriteLine);
        return fuzz.Wrong.Count == 0 ? 0 : 1;
    }
}
