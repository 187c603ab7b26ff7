using System.Collections.Concurrent;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>A graph whose output <c>y</c> is each row's ids. Runs wait for <see cref="Release"/> when <see cref="Held"/>.</summary>
internal sealed class FakeRunner(BatchRules? rules = null) : IGraphRunner
{
    private readonly SemaphoreSlim permits = new(0);
    private readonly SemaphoreSlim started = new(0);

    public BatchRules Rules { get; } = rules ?? new BatchRules();

    /// <summary>True when every run waits for its release.</summary>
    public bool Held { get; init; }

    /// <summary>Called with the rows at the start of each run; may throw.</summary>
    public Action<IReadOnlyList<SequenceRow>> OnRun { get; init; } = _ => { };

    public Func<int, int, long> Bytes { get; init; } = (rows, length) => 4L * rows * length;

    /// <summary>The batches in the order they ran: the rows' lengths and the outputs.</summary>
    public ConcurrentQueue<(int[] Lengths, string[] Outputs)> Batches { get; } = new();

    public int Terminated { get; private set; }

    /// <summary>Waits until one more run has started.</summary>
    public Task StartedAsync() => started.WaitAsync(TimeSpan.FromSeconds(30));

    public void Release(int runs = 1) => permits.Release(runs);

    public bool HasOutput(string name) => name is "y" or "z";

    public long OutputBytes(string name, int rows, int length) => Bytes(rows, length);

    public IBatchOutputs Run(IReadOnlyList<SequenceRow> rows, IReadOnlyCollection<string> outputs, CancellationToken terminate)
    {
        Batches.Enqueue(([.. rows.Select(r => r.InputIds.Length)], [.. outputs.Order()]));
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

    private sealed class Echo(IReadOnlyList<SequenceRow> rows) : IBatchOutputs
    {
        public OutputRow Row(string output, int row) => new(rows[row].InputIds.Select(i => (float)i).ToArray(), new[] { rows[row].InputIds.Length });

        public void Dispose()
        {
        }
    }

    public void Dispose()
    {
    }
}
