using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;

namespace InferenceServer.Engine.Serving;

/// <summary>A model in memory and what it holds, counted by leases: it is released when it is retired and the last lease has been given back.</summary>
/// <param name="model">The model.</param>
/// <param name="admission">What it takes in.</param>
/// <param name="release">Releases everything that it holds.</param>
internal sealed class LoadedModel(Model model, Admission admission, Func<Task> release)
{
    private readonly Lock gate = new();
    private readonly TaskCompletionSource idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int leases;
    private bool retired;
    private Task? released;

    /// <summary>The model.</summary>
    public Model Model { get; } = model;

    /// <summary>What it takes in.</summary>
    public Admission Admission { get; } = admission;

    /// <summary>A lease; null when the model is retired.</summary>
    public ModelLease? TryLease()
    {
        lock (gate)
        {
            if (retired)
            {
                return null;
            }

            leases++;
            return new ModelLease(this);
        }
    }

    /// <summary>A lease is given back.</summary>
    public void Return()
    {
        lock (gate)
        {
            if (--leases == 0 && retired)
            {
                idle.TrySetResult();
            }
        }
    }

    /// <summary>Gives no lease any more, waits for those that are out (not longer than <paramref name="patience"/> lasts), and releases the model. Once; every caller waits for the same end.</summary>
    public Task RetireAsync(CancellationToken patience = default)
    {
        lock (gate)
        {
            retired = true;
            if (leases == 0)
            {
                idle.TrySetResult();
            }

            return released ??= ReleaseAsync(patience);
        }
    }

    private async Task ReleaseAsync(CancellationToken patience)
    {
        await Task.WhenAny(idle.Task, Task.Delay(Timeout.Infinite, patience)).ConfigureAwait(false);
        await release().ConfigureAwait(false);
    }
}
