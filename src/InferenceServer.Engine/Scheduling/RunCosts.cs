using System.Collections.Concurrent;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>What the runs of a graph cost, by variant: measured where it was, else derived from the plain variant of one thread. Thread-safe.</summary>
internal sealed class RunCosts(CostModel? plain = null)
{
    private readonly ConcurrentDictionary<(OutputSet Outputs, int Threads), CostModel> measured = [];
    private readonly CostModel assumed = plain ?? CostModel.Assumed;

    /// <summary>The cost of a variant's runs.</summary>
    public CostModel Of(OutputSet outputs, int threads) =>
        measured.TryGetValue((outputs, threads), out var own) ? own
        : measured.TryGetValue((OutputSet.Plain, threads), out own) ? own
        : (measured.TryGetValue((OutputSet.Plain, 1), out own) ? own : assumed).OnThreads(threads);

    /// <summary>A variant was measured.</summary>
    public void Set(OutputSet outputs, int threads, CostModel cost) => measured[(outputs, threads)] = cost;
}
