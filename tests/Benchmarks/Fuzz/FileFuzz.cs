using System.Diagnostics;
using System.Globalization;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Serving;
using InferenceServer.TestSupport.Fuzz;

namespace InferenceServer.Benchmarks.Fuzz;

/// <summary>The mode <c>fuzz files</c>: changed configuration and tokenizer files of small models; each folder is inspected, and a text is tokenised by what it gives.</summary>
internal static class FileFuzz
{
    private const double MostSeconds = 5;
    private const double MostMiB = 1024; // resident, all of the process

    private static readonly string[] Sources = ["bert-embed-cls-dense", "bert-classify", "gpt2-with-past", "roberta-fill-mask", "t5-small-like", "marian-en-pt"];

    /// <summary>Runs the changes of so many numbers from <paramref name="first"/> on.</summary>
    public static async Task<int> RunAsync(int count, int first)
    {
        var files = Sources.Select(source => TestData.ModelFolder("zoo/" + source)).SelectMany(folder => Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Where(FileMutation.IsChanged).Order(StringComparer.Ordinal).Select(file => (Folder: folder, File: Path.GetRelativePath(folder, file)))).ToList();
        using var directory = new TemporaryFolder();
        var options = new LoadingOptions { Directory = directory.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu, Workers = 1, IntraOpThreads = 1 } };
        var defects = new List<string>();
        int served = 0, refused = 0;
        double slowest = 0;
        for (var number = first; number < first + count; number++)
        {
            var (from, file) = files[number % files.Count];
            var folder = Path.Combine(directory.Path, "changed");
            TemporaryFolder.Copy(from, folder, f => !Path.GetFileName(f).StartsWith("expected.", StringComparison.Ordinal));
            await File.WriteAllBytesAsync(Path.Combine(folder, file), FileMutation.Of(Path.Combine(from, file), number));
            var started = Stopwatch.GetTimestamp();
            string? wrong = null;
            try
            {
                var report = FolderInspection.Inspect(folder, options);
                wrong = report.Problems.FirstOrDefault(problem => problem.Contains("unexpected error", StringComparison.Ordinal));
                served += report.CanBeServed ? 1 : 0;
                refused += report.CanBeServed ? 0 : 1;
            }
            catch (Exception e)
            {
                wrong = e.ToString();
            }

            var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
            slowest = Math.Max(slowest, seconds);
            if (wrong is not null || seconds > MostSeconds)
            {
                defects.Add(string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(from)} {file} number {number}: {seconds:0.0} s {wrong}"));
                Console.WriteLine(defects[^1]);
            }

            Directory.Delete(folder, recursive: true);
        }

        var most = Process.GetCurrentProcess().PeakWorkingSet64 / 1048576.0;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
            {Report.Machine}
            | files | first | served | refused | defects | slowest s | most RSS MiB |
            |--:|--:|--:|--:|--:|--:|--:|
            | {count} | {first} | {served} | {refused} | {defects.Count} | {slowest:0.0} | {most:0} |
            """));
        return defects.Count == 0 && most <= MostMiB ? 0 : 1;
    }
}
