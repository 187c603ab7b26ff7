using System.Collections.Concurrent;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>A graph whose outputs <c>y</c> and <c>z</c> are each row's ids, and <c>a</c> too, in the set of attention. Runs wait for <see cref="Release"/> when <see cref="Held"/>.</summary>
internal sealed class FakeGraph(BatchConstraints? constraints = null) : IGraph
{
    private readonly SemaphoreSlim permits = new(0);
    private readonly SemaphoreSlim started = new(0);
    private readonly ConcurrentDictionary<(OutputSet Outputs, int Threads), Task> opened = new() { [(OutputSet.Plain, 1)] = Task.CompletedTask };
    private int opening;

    public BatchConstraints Constraints { get; } = constraints ?? new BatchConstraints();

    /// <summary>True when every run waits for its release.</summary>
    public bool Held { get; init; }

    /// <summary>Called with the rows at the start of each run; may throw.</summary>
    public Action<IReadOnlyList<GraphInput>> OnRun { get; init; } = _ => { };

    /// <summary>Called when a variant is opened; may throw.</summary>
    public Action<OutputSet, int> OnOpen { get; init; } = (_, _) => { };

    public Func<OutputSet, int, int, long> Bytes { get; init; } = (_, rows, length) => 4L * rows * length;

    public Func<OutputSet, int, int, long> Peak { get; init; } = (_, _, _) => 0;

    /// <summary>How often memory was given back.</summary>
    public int GivenBack { get; private set; }

    /// <summary>The batches in the order they ran: the rows' lengths, the outputs, the threads.</summary>
    public ConcurrentQueue<(int[] Lengths, string[] Outputs, int Threads)> Batches { get; } = new();

    public int Terminated { get; private set; }

    /// <summary>How often a variant was opened.</summary>
    public int Openings => opening;

    public IReadOnlyList<string> Outputs => ["y", "z"];

    /// <summary>Waits until one more run has started.</summary>
    public async Task StartedAsync() => Assert(await started.WaitAsync(TimeSpan.FromSeconds(30)));

    public void Release(int runs = 1) => permits.Release(runs);

    public bool HasOutput(string name) => name is "y" or "z" or "a";

    public OutputSet SetOf(IReadOnlyList<string> outputs) => outputs.Contains("a") ? OutputSet.Attention : OutputSet.Plain;

    public long RunBytes(OutputSet outputs, int rows, int length) => Bytes(outputs, rows, length);

    public long PeakBytes(OutputSet outputs, int rows, int length) => Peak(outputs, rows, length);

    public IGraphVariant? Opened(OutputSet outputs, int threads) => opened.TryGetValue((outputs, threads), out var task) && task.IsCompletedSuccessfully ? new Variant(this, threads) : null;

    public Task OpenAsync(OutputSet outputs, int threads) => opened.GetOrAdd((outputs, threads), key =>
    {
        Interlocked.Increment(ref opening);
        try
        {
            OnOpen(key.Outputs, key.Threads);
            return Task.CompletedTask;
        }
        catch (ModelLoadException e)
        {
            return Task.FromException(e);
        }
    });

    private static void Assert(bool came) => Xunit.Assert.True(came, "no run has started");

    private Echo Run(IReadOnlyList<GraphInput> rows, IReadOnlyCollection<string> outputs, int threads, CancellationToken terminate)
    {
        Batches.Enqueue(([.. rows.Select(r => r.Length)], [.. outputs.Order()], threads));
        started.Release();
        if (Held)
        {
            try
            {
                permits.Wait(terminate);
            }
            catch (OperationCanceledException)
            {
                Terminated++;
                throw;
            }
        }

        OnRun(rows);
        return new Echo(rows);
    }

    private sealed class Variant(FakeGraph graph, int threads) : IGraphVariant
    {
        public IBatchOutputs Run(IReadOnlyList<GraphInput> rows, IReadOnlyCollection<string> outputs, CancellationToken terminate) => graph.Run(rows, outputs, threads, terminate);

        public void GiveBack() => graph.GivenBack++;
    }

    private sealed class Echo(IReadOnlyList<GraphInput> rows) : IBatchOutputs
    {
        public OutputRow Row(string output, int row) => new(rows[row].InputIds.Select(i => (float)i).ToArray(), new[] { rows[row].Length });

        public void Dispose()
        {
        }
    }
}
