using System.Diagnostics;
using System.Globalization;
using System.Text;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Abuse;

/// <summary>
/// What careless and hostile clients can make the server hold: memory before, at its peak and afterwards, processor time, and how a well-behaved client fares beside them.
/// Each case has a server process of its own.
/// </summary>
internal static class AbuseBenchmark
{
    private const double RestSeconds = 8;

    /// <summary>Names of the cases.</summary>
    public static IEnumerable<string> CaseNames => AbuseCases.All.Select(c => c.Name);

    /// <summary>Runs it: [case]. The whole writes its section.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length > 1 || args.Any(name => !CaseNames.Contains(name)))
        {
            Console.Error.WriteLine($"abuse [case]; cases: {string.Join(", ", CaseNames)}.");
            return 2;
        }

        var load = Report.Load();
        var rows = new StringBuilder();
        foreach (var one in AbuseCases.All.Where(c => args.Length == 0 || c.Name == args[0]))
        {
            var row = await MeasureAsync(one);
            Console.WriteLine(row);
            rows.AppendLine(row);
        }

        if (args.Length == 0)
        {
            Report.Write("abuse", $"""
                ## What clients can cost

                {DateTime.UtcNow:yyyy-MM-dd}; {Report.Machine}; {load}. all-MiniLM-L6-v2, a server process for each case. Peak: of the resident memory while the case runs; after: {RestSeconds:0} s later.
                Beside it a well-behaved client sends one text of 12 words every 20 ms. Goals: a body costs at most 12 times its bytes and 2 s of each core; memory is given back (within 1.5 times what was there before, plus 64 MiB).

                | case | answers | RSS MiB before / peak / after | goal | s | CPU s | p95 ms alone / beside |
                |---|---|--:|---|--:|--:|--:|
                {rows}
                """);
        }

        return 0;
    }

    private static async Task<string> MeasureAsync(AbuseCase one)
    {
        using var folder = ModelsFolder.WithMiniLM();
        if (one.Besides is { } besides)
        {
            folder.AddShared(besides);
        }

        one.Prepare(folder);
        using var server = await MeasuredServer.StartAsync(folder.Path, one.Settings);
        var path = ServerSettings.EmbeddingsPath(folder.Model);
        var body = Texts.Body(Texts.OfWords(1, 12, 12));
        var alone = await NeighbourAsync(server, path, body, Task.Delay(TimeSpan.FromSeconds(4)));
        await Task.Delay(TimeSpan.FromSeconds(2));
        var before = server.ResidentMiB;
        var processor = server.ProcessorSeconds;
        var watch = Stopwatch.StartNew();
        var running = one.RunAsync(server, folder.Model);
        var peak = PeakAsync(server, running);
        var beside = await NeighbourAsync(server, path, body, running);
        var (answers, elapsed, used) = (await running, watch.Elapsed.TotalSeconds, server.ProcessorSeconds - processor);
        await Task.Delay(TimeSpan.FromSeconds(RestSeconds));
        var (most, after) = (await peak, server.ResidentMiB);
        var isMet = after <= (1.5 * before) + 64 && (one.MostMiB is not { } bound || most - before <= bound) && (one.MostSeconds is not { } seconds || used <= seconds * Environment.ProcessorCount);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"| {one.Name}: {one.Description} | {answers} | {before:0} / {most:0} / {after:0} | {(one.MostMiB is { } limit ? $"peak - before <= {limit:0}; " : "")}{(one.MostSeconds is { } a ? $"CPU s <= {a * Environment.ProcessorCount:0}; " : "")}{Report.Met(isMet)} | {elapsed:0.0} | {used:0.0} | {P95(alone):0} / {P95(beside):0} |");
    }

    private static async Task<double> PeakAsync(MeasuredServer server, Task running)
    {
        var most = server.ResidentMiB;
        while (!running.IsCompleted)
        {
            most = Math.Max(most, server.ResidentMiB);
            await Task.WhenAny(running, Task.Delay(25));
        }

        return Math.Max(most, server.ResidentMiB);
    }

    // Milliseconds of each answer; a failure counts as a minute.
    private static async Task<List<double>> NeighbourAsync(MeasuredServer server, string path, string body, Task until)
    {
        var milliseconds = new List<double>();
        do
        {
            try
            {
                milliseconds.Add(await server.PostAsync(path, body));
            }
            catch (Exception e) when (e is InvalidOperationException or HttpRequestException)
            {
                milliseconds.Add(60_000);
            }

            await Task.Delay(20);
        }
        while (!until.IsCompleted);
        return milliseconds;
    }

    private static double P95(List<double> milliseconds) => milliseconds.Order().ElementAt((int)(0.95 * (milliseconds.Count - 1)));
}
