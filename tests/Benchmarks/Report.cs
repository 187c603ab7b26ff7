using System.Runtime.InteropServices;

namespace InferenceServer.Benchmarks;

/// <summary>docs/benchmarks.md: one section for each benchmark, the last run of each.</summary>
internal static class Report
{
    /// <summary>The machine, in one line.</summary>
    public static string Machine { get; } = DescribeMachine();

    /// <summary>How busy the machine is with other work: figures taken on a busy machine say little about speed, their ratio somewhat more.</summary>
    public static string Load() =>
        File.Exists("/proc/loadavg") ? $"load average before the run {File.ReadAllText("/proc/loadavg").Split(' ')[0]}" : "load unknown";

    /// <summary>How a goal is marked in a table.</summary>
    public static string Met(bool met) => met ? "met" : "**not met**";

    /// <summary>Replaces the section <paramref name="name"/> of docs/benchmarks.md, or adds it.</summary>
    public static void Write(string name, string markdown)
    {
        var file = Path.Combine(Repository.Root, "docs", "benchmarks.md");
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        var text = File.Exists(file) ? File.ReadAllText(file) : "# Benchmarks\n";
        var (begin, end) = ($"<!-- {name}: begin -->\n", $"<!-- {name}: end -->\n");
        var section = begin + markdown.TrimEnd() + "\n" + end;
        var from = text.IndexOf(begin, StringComparison.Ordinal);
        var to = text.IndexOf(end, StringComparison.Ordinal);
        File.WriteAllText(file, from < 0 || to < from ? text.TrimEnd() + "\n\n" + section : text[..from] + section + text[(to + end.Length)..]);
        Console.WriteLine($"written to {Path.GetRelativePath(Environment.CurrentDirectory, file)}");
    }

    private static string DescribeMachine()
    {
        var processor = "unknown processor";
        if (File.Exists("/proc/cpuinfo"))
        {
            var line = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal));
            processor = line?.Split(':', 2)[1].Trim() ?? processor;
        }

        return $"{processor}, {Environment.ProcessorCount} cores, {GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 30} GiB, {RuntimeInformation.OSDescription.Split(' ')[0]} {RuntimeInformation.OSArchitecture}, {RuntimeInformation.FrameworkDescription}";
    }
}
