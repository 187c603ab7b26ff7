using System.Globalization;
using System.Text;
using InferenceServer.Configuration;
using InferenceServer.Engine.Serving;
using InferenceServer.Http.Native;

namespace InferenceServer.Hosting;

/// <summary>What a person sees when the models are loaded: a table, the addresses, and a curl line that works when pasted. In JSON logs the same as events.</summary>
internal static partial class StartupReport
{
    private static readonly string[] Columns = ["model", "tasks", "layers x heads", "max tokens", "provider", "workers x threads", "load"];

    /// <summary>Writes the report.</summary>
    public static void Write(ModelRegistry registry, string directory, IEnumerable<string> addresses, IEnumerable<string> probed, LogFormat format, ILogger log)
    {
        var bases = addresses.Select(Reachable).Distinct().ToList();
        var probes = probed.Select(Reachable).Distinct().ToList();
        if (format == LogFormat.Json)
        {
            Events(registry, bases, probes, log);
            return;
        }

        Console.Out.Write(Text(registry, directory, bases, probes));
        Console.Out.Flush();
    }

    /// <summary>The report as text.</summary>
    internal static string Text(ModelRegistry registry, string directory, IReadOnlyList<string> bases, IReadOnlyList<string> probes)
    {
        var text = new StringBuilder();
        var entries = registry.Models.Select(m => m.Status).ToList();
        var rows = entries.Where(e => e.State == ModelState.Ready).Select(Row).Prepend(Columns).ToList();
        if (rows.Count > 1)
        {
            var widths = Enumerable.Range(0, Columns.Length).Select(c => rows.Max(r => r[c].Length)).ToArray();
            text.AppendLine();
            foreach (var row in rows)
            {
                text.Append("  ").AppendLine(string.Join("  ", row.Select((cell, c) => cell.PadRight(widths[c]))).TrimEnd());
            }
        }

        var failed = entries.Where(e => e.State == ModelState.Failed).ToList();
        if (failed.Count > 0)
        {
            text.AppendLine();
        }

        foreach (var entry in failed)
        {
            text.Append("  failed: ").Append(entry.Id).Append(": ").AppendLine(entry.Reason);
        }

        if (rows.Count == 1)
        {
            text.AppendLine().AppendLine($"  No model is ready. Put model folders into {directory}, or name another directory with --models <dir>.");
        }

        foreach (var address in bases)
        {
            text.AppendLine()
                .Append("  page     ").Append(address).AppendLine("/")
                .Append("  Swagger  ").Append(address).AppendLine("/swagger")
                .Append("  health   ").Append(address).AppendLine("/health/ready");
        }

        foreach (var address in probes)
        {
            text.AppendLine().Append("  health alone  ").Append(address).AppendLine("/health/ready");
        }

        if (bases.Count > 0 && Curl(entries, bases[0]) is { } curl)
        {
            text.AppendLine().Append("  ").AppendLine(curl);
        }

        return text.AppendLine().ToString();
    }

    private static string[] Row(ModelStatus entry)
    {
        var config = entry.Model!.Manifest.Config;
        return
        [
            entry.Id,
            string.Join(", ", TaskNames.Of(entry.Model)),
            config is { Layers: { } layers, Heads: { } heads } ? $"{layers} x {heads}" : "-",
            entry.Model.MaxTokens.ToString(CultureInfo.InvariantCulture),
            entry.Provider ?? "-",
            $"{entry.Workers} x {entry.Threads}",
            string.Create(CultureInfo.InvariantCulture, $"{entry.LoadTime.TotalSeconds:0.00} s"),
        ];
    }

    /// <summary>A request that a model here can answer, for pasting into a shell.</summary>
    private static string? Curl(IReadOnlyList<ModelStatus> entries, string address)
    {
        foreach (var (task, operation, body) in ((string, string, string)[])
        [
            ("embeddings", "embeddings", """{"inputs": "The cat sleeps on the sofa."}"""),
            ("text-classification", "predictions", """{"inputs": "The cat sleeps on the sofa."}"""),
            ("next-token", "predictions", """{"inputs": "The cat sleeps on"}"""),
            ("tokenize", "tokenize", """{"inputs": "The cat sleeps on the sofa."}"""),
        ])
        {
            if (entries.FirstOrDefault(e => e.Model is { } model && TaskNames.Of(model).Contains(task)) is { } entry)
            {
                return $"curl -s {address}/api/models/{Uri.EscapeDataString(entry.Id)}/{operation} -H 'content-type: application/json' -d '{body}'";
            }
        }

        return null;
    }

    /// <summary>An address as a client on this machine writes it: a wildcard is no host.</summary>
    internal static string Reachable(string address)
    {
        foreach (var wildcard in (string[])["://[::]", "://0.0.0.0", "://*", "://+"])
        {
            address = address.Replace(wildcard, "://localhost", StringComparison.Ordinal);
        }

        return address.TrimEnd('/');
    }

    private static void Events(ModelRegistry registry, List<string> addresses, List<string> probes, ILogger log)
    {
        foreach (var entry in registry.Models.Select(m => m.Status))
        {
            if (entry is { State: ModelState.Ready, Model: { } model })
            {
                var config = model.Manifest.Config;
                Ready(log, entry.Id, TaskNames.Of(model), config.Layers, config.Heads, model.MaxTokens, entry.Provider, entry.Workers, entry.Threads, Math.Round(entry.LoadTime.TotalSeconds, 3));
            }
            else
            {
                Failed(log, entry.Id, entry.Reason);
            }
        }

        Listening(log, addresses);
        if (probes.Count > 0)
        {
            ListeningForProbes(log, probes);
        }
    }

    [LoggerMessage(120, LogLevel.Information, "Model {Model} is ready: tasks {Tasks}, {Layers} layers x {Heads} heads, at most {MaxTokens} tokens, {Provider}, {Workers} workers x {Threads} threads, loaded in {LoadSeconds} s")]
    private static partial void Ready(ILogger log, string model, IReadOnlyList<string> tasks, int? layers, int? heads, int maxTokens, string? provider, int workers, int threads, double loadSeconds);

    [LoggerMessage(121, LogLevel.Error, "Model {Model} failed: {Reason}")]
    private static partial void Failed(ILogger log, string model, string? reason);

    [LoggerMessage(122, LogLevel.Information, "Listening on {Addresses}: page at /, Swagger UI at /swagger, health at /health/ready")]
    private static partial void Listening(ILogger log, IReadOnlyList<string> addresses);

    [LoggerMessage(125, LogLevel.Information, "Health alone is answered on {Addresses}")]
    private static partial void ListeningForProbes(ILogger log, IReadOnlyList<string> addresses);
}
