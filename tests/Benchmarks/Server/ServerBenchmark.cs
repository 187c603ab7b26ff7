using System.Globalization;
using System.Text;
using InferenceServer.Benchmarks.Raw;

namespace InferenceServer.Benchmarks.Server;

/// <summary>The verb <c>server</c>: embeddings over HTTP beside raw ONNX Runtime.</summary>
internal static class ServerBenchmark
{
    /// <summary>Runs it: [rounds] [scenario filter]. With a filter the tables are printed only.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        var rounds = args.Length > 0 && int.TryParse(args[0], CultureInfo.InvariantCulture, out var given) ? given : 3;
        var filter = args.FirstOrDefault(a => !int.TryParse(a, CultureInfo.InvariantCulture, out _));
        var scenarios = Scenario.All.Where(s => filter is null || s.Name.Contains(filter, StringComparison.OrdinalIgnoreCase)).ToArray();
        if (scenarios.Length == 0 || rounds < 1)
        {
            Console.Error.WriteLine($"No rounds, or no scenario contains '{filter}'. Scenarios:\n{string.Join('\n', Scenario.All.Select(s => $"  {s.Name}"))}");
            return 2;
        }

        var load = Report.Load();
        using var folder = ModelsFolder.WithMiniLM();
        using var server = await MeasuredServer.StartAsync(folder.Path);
        Console.WriteLine($"{Report.Machine}\n{folder.Model}, rounds: {rounds}");
        var measurements = scenarios.Select(s => new ScenarioMeasurement(s)).ToArray();
        foreach (var measurement in measurements)
        {
            using (measurement)
            {
                await measurement.RunAsync(server, folder, rounds);
                Console.WriteLine($"{measurement.Scenario.Name}: {measurement.Server(r => r.TextsPerSecond):0} texts/s");
            }
        }

        var text = Section(folder, rounds, load, measurements);
        Console.WriteLine(text);
        if (filter is null)
        {
            Report.Write("server", text);
        }

        return 0;
    }

    private static string Section(ModelsFolder folder, int rounds, string load, ScenarioMeasurement[] measurements)
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"""
            ## Embeddings over HTTP beside raw ONNX Runtime

            `dotnet run -c Release --project tests/Benchmarks -- server`, {DateTime.UtcNow:yyyy-MM-dd}, {folder.Model} ({new FileInfo(folder.GraphFile).Length / 1e6:0.0} MB file); {Report.Machine}; {load}; rounds: {rounds}

            | scenario | tokens a text | texts/s | p50 ms | p95 ms | p99 ms | raw texts/s (workers x threads x rows) | ratio | goal |
            |---|--:|--:|--:|--:|--:|--:|--:|--:|
            """);
        foreach (var m in measurements)
        {
            var raw = m.Raw(m.BestCell, r => r.TextsPerSecond);
            var ratio = m.Server(r => r.TextsPerSecond) / raw;
            var goal = m.Scenario.Goal > 0 ? string.Create(CultureInfo.InvariantCulture, $"{m.Scenario.Goal:0.00} {Report.Met(ratio >= m.Scenario.Goal)}") : "see below";
            text.AppendLine(CultureInfo.InvariantCulture, $"| {m.Scenario.Name} | {m.TokensPerText:0.0} | {m.Server(r => r.TextsPerSecond):0.0} | {m.Server(r => r.Milliseconds[0]):0.00} | {m.Server(r => r.Milliseconds[1]):0.00} | {m.Server(r => r.Milliseconds[2]):0.00} | {raw:0.0} ({m.BestCell.Name}) | {ratio:0.00} | {goal} |");
        }

        text.AppendLine("""

            | scenario | server, cores | client, share of all cores | CPU ms a text, server | raw | server's own share | KiB allocated a request | RSS MiB |
            |---|--:|--:|--:|--:|--:|--:|--:|
            """);
        foreach (var m in measurements)
        {
            var server = m.Server(ProcessorMilliseconds);
            var raw = m.Raw(m.BestCell, r => r.ProcessorMillisecondsPerText);
            text.AppendLine(CultureInfo.InvariantCulture, $"| {m.Scenario.Name} | {m.Server(r => r.ServerProcessorSeconds / r.Seconds):0.00} | {m.Server(r => r.ClientShare):0.0%} | {server:0.00} | {raw:0.00} | {1 - (raw / server):0%} | {m.AllocatedBytesPerRequest / 1024:0.0} | {m.ResidentMiB:0} |");
        }

        var single = measurements.Where(m => m.Scenario.OneTextAtATime).ToArray();
        if (single.Length > 0)
        {
            OneTextAtATime(text, single);
        }

        return text.ToString();
    }

    private static void OneTextAtATime(StringBuilder text, ScenarioMeasurement[] measurements)
    {
        text.AppendLine(CultureInfo.InvariantCulture, $"""

            One text at a time, p50 ms / CPU ms a text. Goal: p50 at most that of the best raw setting + {Scenario.OwnMillisecondsGoal} ms; with pauses the best raw setting is that of the least p50 among those that take at most {Scenario.ProcessorGoal} times the CPU of one raw thread, and the server may take no more than that either.

            | scenario | server |{string.Concat(RawCell.OneAtATime.Select(c => $" raw, threads: {c.ThreadsName} |"))} p50 over the best raw | CPU / one raw thread | goal |
            |---|--:|{string.Concat(RawCell.OneAtATime.Select(_ => "--:|"))}--:|--:|---|
            """);
        foreach (var m in measurements)
        {
            var p50 = m.Server(r => r.Milliseconds[0]);
            var over = p50 - m.Raw(m.BestCell, r => r.MedianMilliseconds);
            var cpu = m.Server(ProcessorMilliseconds) / m.Raw(RawCell.OneAtATime[0], r => r.ProcessorMillisecondsPerText);
            var met = over <= Scenario.OwnMillisecondsGoal && (m.Scenario.PauseMilliseconds == 0 || cpu <= Scenario.ProcessorGoal);
            var raw = string.Concat(RawCell.OneAtATime.Select(c => string.Create(CultureInfo.InvariantCulture, $" {m.Raw(c, r => r.MedianMilliseconds):0.00} / {m.Raw(c, r => r.ProcessorMillisecondsPerText):0.0} |")));
            text.AppendLine(CultureInfo.InvariantCulture, $"| {m.Scenario.Name} | {p50:0.00} / {m.Server(ProcessorMilliseconds):0.0} |{raw} {over:0.00} | {cpu:0.00} | {(m.Scenario.IsShort ? Report.Met(met) : "the ratio above")} |");
        }
    }

    private static double ProcessorMilliseconds(Client.LoadResult r) => r.ServerProcessorSeconds * 1000 / (r.TextsPerSecond * r.Seconds);
}
