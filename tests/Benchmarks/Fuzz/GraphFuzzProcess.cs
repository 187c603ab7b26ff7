using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.TestSupport.Fuzz;

namespace InferenceServer.Benchmarks.Fuzz;

/// <summary>What became of one changed graph.</summary>
/// <param name="Outcome">Loaded, Refused (with a reason that somebody wrote) or Unexpected.</param>
/// <param name="Detail">The reason or the exception.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="PeakMiB">Most resident memory of the process meanwhile.</param>
internal sealed record GraphOutcome(string Outcome, string Detail, double Seconds, double PeakMiB);

/// <summary>The child process of <c>fuzz graphs</c>: each line of its input is <c>NUMBER FOLDER</c>; it answers with what became of that folder with its graph changed.</summary>
internal static class GraphFuzzProcess
{
    /// <summary>Works until the input ends. <paramref name="directory"/> gets the changed folders, one at a time.</summary>
    public static async Task<int> RunAsync(string directory)
    {
        while (Console.In.ReadLine() is { } line)
        {
            var (number, source) = (int.Parse(line.Split(' ')[0], CultureInfo.InvariantCulture), line[(line.IndexOf(' ', StringComparison.Ordinal) + 1)..]);
            var folder = Path.Combine(directory, "changed");
            TemporaryFolder.Copy(source, folder, file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
            var graph = Path.Combine(folder, "model.onnx");
            await File.WriteAllBytesAsync(graph, GraphMutation.Of(await File.ReadAllBytesAsync(graph), number));
            await File.WriteAllTextAsync("/proc/self/clear_refs", "5"); // the peak begins anew
            var started = Stopwatch.GetTimestamp();
            string outcome, detail;
            try
            {
                (outcome, detail) = await TryAsync(directory, folder);
            }
            catch (Exception e)
            {
                (outcome, detail) = ("Unexpected", e.ToString());
            }

            Console.Out.WriteLine(JsonSerializer.Serialize(new GraphOutcome(outcome, detail, Stopwatch.GetElapsedTime(started).TotalSeconds, PeakMiB())));
            Directory.Delete(folder, recursive: true);
        }

        return 0;
    }

    private static async Task<(string Outcome, string Detail)> TryAsync(string directory, string folder)
    {
        var options = new LoadingOptions { Directory = directory, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu, Workers = 1, IntraOpThreads = 1 } };
        var report = FolderInspection.Inspect(folder, options);
        if (report.Problems.Any(IsUnexpected))
        {
            return ("Unexpected", "inspect: " + string.Join(" / ", report.Problems));
        }

        if (!report.CanBeServed)
        {
            return ("Refused", string.Join(" / ", report.Problems));
        }

        await using var registry = new ModelRegistry(options);
        await registry.LoadAllAsync();
        var status = registry.Get("changed").Status;
        if (status.State != ModelState.Ready)
        {
            return (IsUnexpected(status.Reason ?? "") ? "Unexpected" : "Refused", status.Reason ?? "");
        }

        using var lease = registry.Acquire("changed");
        var context = new RequestContext();
        try
        {
            using var permit = lease.Enter(context);
            var input = TextInput.Of("The cat sleeps on the mat.");
            var embeddings = TaskCatalogue.Get<EmbeddingsTask>();
            if (embeddings.Supports(lease.Model))
            {
                await embeddings.RunAsync(lease.Model, new EmbeddingsRequest { Inputs = [input] }, context);
            }
            else if (TaskCatalogue.Prediction(lease.Model) is { } task)
            {
                await task.RunAsync(lease.Model, ((PredictionRequest)Activator.CreateInstance(task.RequestType)!) with { Inputs = [input] }, context);
            }

            return ("Loaded", "");
        }
        catch (InferenceException e)
        {
            return (e.Code == ErrorCode.Internal ? "Unexpected" : "Loaded", e.ToString());
        }
    }

    private static bool IsUnexpected(string reason) => reason.Contains("unexpected error", StringComparison.Ordinal);

    private static double PeakMiB() => File.ReadLines("/proc/self/status").Where(line => line.StartsWith("VmHWM:", StringComparison.Ordinal)).Select(line => double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) / 1024).First();
}
