using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Serving;

/// <summary>A model under its id, whatever is loaded there: a stable identity that holds at most one immutable model. Thread-safe.</summary>
public sealed class ServedModel
{
    private volatile Snapshot current;

    internal ServedModel(string id) => current = new Snapshot(new ModelStatus { Id = id, State = ModelState.Loading }, null);

    /// <summary>The folder's name.</summary>
    public string Id => current.Status.Id;

    /// <summary>What it is doing, and the model that is loaded, to be read.</summary>
    public ModelStatus Status => current.Status;

    /// <summary>One operation at a time: load, unload, reload.</summary>
    internal SemaphoreSlim Operation { get; } = new(1);

    /// <summary>What is loaded, or null.</summary>
    internal LoadedModel? Loaded => current.Loaded;

    /// <summary>A lease on the model that is ready now. Disposing gives it back.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.NotLoaded"/> (failed, with its reason, or unloaded) or <see cref="ErrorCode.Unavailable"/> (still loading).</exception>
    public ModelLease Acquire()
    {
        while (true)
        {
            var (status, loaded) = (current.Status, current.Loaded);
            if (loaded is null || status.State != ModelState.Ready)
            {
                throw NotReady(status);
            }

            // A model that was retired since has been replaced: the next look sees by what.
            if (loaded.TryLease() is { } lease)
            {
                return lease;
            }

            Thread.Yield();
        }
    }

    /// <summary>Replaces what is served, in one step; gives what was loaded before.</summary>
    internal LoadedModel? Set(ModelStatus status, LoadedModel? loaded)
    {
        var before = current.Loaded;
        current = new Snapshot(status, loaded);
        return before;
    }

    private static InferenceException NotReady(ModelStatus status) => status.State switch
    {
        ModelState.Failed => new InferenceException(ErrorCode.NotLoaded, $"The model '{status.Id}' could not be loaded: {status.Reason}", Argument.Of("Model")),
        ModelState.Unloaded => new InferenceException(ErrorCode.NotLoaded, $"The model '{status.Id}' is unloaded. Load it, or choose another.", Argument.Of("Model")),
        _ => new InferenceException(ErrorCode.Unavailable, $"The model '{status.Id}' is still loading; try again in a moment.", Argument.Of("Model")) { RetryAfter = TimeSpan.FromSeconds(1) },
    };

    private sealed record Snapshot(ModelStatus Status, LoadedModel? Loaded);
}
