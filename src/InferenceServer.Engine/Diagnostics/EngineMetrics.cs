using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace InferenceServer.Engine.Diagnostics;

/// <summary>
/// The engine's meters and activities. Names and attributes are those of OpenTelemetry's semantic conventions where they exist (gen_ai.*, error.type; version 1.38);
/// durations are in seconds, as there.
/// </summary>
public static class EngineMetrics
{
    /// <summary>Name of the meter and of the activity source.</summary>
    public const string Name = "InferenceServer.Engine";

    private const string ModelTag = "gen_ai.request.model";
    private static readonly Meter Meter = new(Name);
    private static readonly UpDownCounter<long> Depth = Meter.CreateUpDownCounter<long>("inference.queue.depth", "{sequence}", "Sequences that wait.");
    private static readonly Histogram<double> Wait = Meter.CreateHistogram<double>("inference.queue.duration", "s", "Time that a sequence waits for a worker.");
    private static readonly Histogram<long> Rows = Meter.CreateHistogram<long>("inference.batch.size", "{sequence}", "Sequences of a batch.");
    private static readonly Histogram<double> Padded = Meter.CreateHistogram<double>("inference.batch.padding", "1", "Share of a batch's positions that is padding.");
    private static readonly Histogram<double> Duration = Meter.CreateHistogram<double>("inference.run.duration", "s", "Time of one run of a graph.");
    private static readonly Counter<double> Busy = Meter.CreateCounter<double>("inference.worker.busy", "s", "Time that workers run batches, by the threads that they use.");
    private static readonly UpDownCounter<long> WorkerCount = Meter.CreateUpDownCounter<long>("inference.worker.count", "{worker}", "Workers.");
    private static readonly UpDownCounter<long> Tokenizers = Meter.CreateUpDownCounter<long>("inference.tokenize.active", "{request}", "Large requests that are being tokenised.");
    private static readonly Counter<long> Tokens = Meter.CreateCounter<long>("inference.tokens", "{token}", "Tokens computed, padding not counted.");
    private static readonly Counter<long> Refusals = Meter.CreateCounter<long>("inference.request.refusals", "{request}", "Requests that were refused, by error.type.");

    private static readonly Counter<long> GenerationRuns = Meter.CreateCounter<long>("inference.generation.runs", "{run}", "Runs of a decoder, by their phase: prefill or decode.");
    private static readonly Counter<long> Preemptions = Meter.CreateCounter<long>("inference.generation.preemptions", "{sequence}", "Sequences that were put back to be computed again, since the caches were full.");
    private static readonly Counter<long> PrefixTokens = Meter.CreateCounter<long>("inference.generation.prefix_tokens", "{token}", "Tokens of prompts that were known from earlier ones.");
    private static readonly UpDownCounter<long> Generating = Meter.CreateUpDownCounter<long>("inference.generation.running", "{sequence}", "Sequences that are being generated, waiting ones included.");

    /// <summary>Activities of the engine.</summary>
    public static ActivitySource Activities { get; } = new(Name);

    /// <summary>Starts the activity of a task at a model: <c>{operation} {model}</c>, as the conventions for generative AI have it; null when nobody listens.</summary>
    public static Activity? Start(string operation, string model)
    {
        var activity = Activities.HasListeners() ? Activities.StartActivity($"{operation} {model}") : null;
        activity?.SetTag("gen_ai.operation.name", operation).SetTag(ModelTag, model);
        return activity;
    }

    internal static void Queued(string model, long change) => Depth.Add(change, Model(model));

    internal static void Waited(string model, TimeSpan time) => Wait.Record(time.TotalSeconds, Model(model));

    internal static void Batch(string model, int rows, int tokens, int positions, TimeSpan run)
    {
        Rows.Record(rows, Model(model));
        Padded.Record(1 - ((double)tokens / positions), Model(model));
        Duration.Record(run.TotalSeconds, Model(model));
        Tokens.Add(tokens, Model(model));
    }

    internal static void Ran(string model, TimeSpan time, int threads) => Busy.Add(time.TotalSeconds * threads, Model(model));

    internal static void Tokenizing(int change) => Tokenizers.Add(change);

    internal static void Workers(int change) => WorkerCount.Add(change);

    internal static void Refused(string model, string reason) => Refusals.Add(1, Model(model), new KeyValuePair<string, object?>("error.type", reason));

    internal static void GenerationRun(string model, string phase) => GenerationRuns.Add(1, Model(model), new KeyValuePair<string, object?>("phase", phase));

    internal static void Preempted(string model) => Preemptions.Add(1, Model(model));

    internal static void Prefix(string model, int tokens) => PrefixTokens.Add(tokens, Model(model));

    internal static void Generation(string model, int change) => Generating.Add(change, Model(model));

    private static KeyValuePair<string, object?> Model(string model) => new(ModelTag, model);
}
