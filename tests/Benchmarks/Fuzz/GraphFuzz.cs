using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace InferenceServer.Benchmarks.Fuzz;

/// <summary>The mode <c>fuzz graphs</c>: changed graphs of small models, each loaded and run in a child process that is started again when it crashes, stalls or grows too large.</summary>
internal static class GraphFuzz
{
    private const double MostSeconds = 5;
    private const double MostMiB = 1024; // resident, all of the process
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20); // after which a child is ended

    private static readonly string[] Sources =
    [
        "bert-classify", "bert-embed-cls-dense", "bert-embed-sdpa", "bert-fused-ort", "gpt2-with-past", "roberta-fill-mask", "deberta-v2-classify-old",
    ];

    /// <summary>Runs the changes of so many numbers from <paramref name="first"/> on.</summary>
    public static async Task<int> RunAsync(int count, int first)
    {
        var outcomes = new SortedDictionary<string, int>(StringComparer.Ordinal);
        var defects = new List<string>();
        double slowest = 0, most = 0;
        using var directory = new TemporaryFolder();
        var child = Start(directory);
        try
        {
            for (var number = first; number < first + count; number++)
            {
                var source = Sources[number % Sources.Length];
                var started = Stopwatch.GetTimestamp();
                await child.WriteLineAsync($"{number} {TestData.ModelFolder("zoo/" + source)}");
                GraphOutcome outcome;
                try
                {
                    outcome = JsonSerializer.Deserialize<GraphOutcome>(await child.ReadLineAsync().WaitAsync(Patience))!;
                }
                catch (Exception e) when (e is InvalidOperationException or TimeoutException)
                {
                    outcome = new GraphOutcome(e is TimeoutException ? "Stalled" : "Crashed", e.Message, Stopwatch.GetElapsedTime(started).TotalSeconds, 0);
                    child.Kill();
                    child.Dispose();
                    if (Directory.Exists(Path.Combine(directory.Path, "changed")))
                    {
                        Directory.Delete(Path.Combine(directory.Path, "changed"), recursive: true);
                    }

                    child = Start(directory);
                }

                outcomes[outcome.Outcome] = outcomes.GetValueOrDefault(outcome.Outcome) + 1;
                (slowest, most) = (Math.Max(slowest, outcome.Seconds), Math.Max(most, outcome.PeakMiB));
                if (outcome.Outcome is not ("Loaded" or "Refused") || outcome.Seconds > MostSeconds || outcome.PeakMiB > MostMiB)
                {
                    var detail = outcome.Detail.ReplaceLineEndings(" ");
                    defects.Add(string.Create(CultureInfo.InvariantCulture, $"{source} number {number}: {outcome.Outcome}, {outcome.Seconds:0.0} s, {outcome.PeakMiB:0} MiB: {detail[..Math.Min(detail.Length, 1500)]}"));
                    Console.WriteLine(defects[^1]);
                }
            }
        }
        finally
        {
            child.Dispose();
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
            {Report.Machine}
            | graphs | first | outcomes | defects | slowest s | most RSS MiB |
            |--:|--:|---|--:|--:|--:|
            | {count} | {first} | {string.Join(", ", outcomes.Select(o => $"{o.Key}: {o.Value}"))} | {defects.Count} | {slowest:0.0} | {most:0} |
            """));
        return defects.Count == 0 ? 0 : 1;
    }

    private static ChildProcess Start(TemporaryFolder directory) => new(ChildProcess.OfThisProgram("fuzz-graph", directory.Path));
}
