using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tasks;

namespace InferenceServer.Engine.Loading;

/// <summary>What a model of the catalogue is doing.</summary>
public enum ModelState
{
    /// <summary>Being read, or warmed up.</summary>
    Loading,

    /// <summary>Answers requests.</summary>
    Ready,

    /// <summary>Cannot be served; <see cref="ModelEntry.Reason"/> says why.</summary>
    Failed,

    /// <summary>Was taken out of service.</summary>
    Unloaded,
}

/// <summary>A model of the catalogue, as it is at one moment.</summary>
public sealed record ModelEntry
{
    /// <summary>The folder's name.</summary>
    public required string Id { get; init; }

    /// <summary>What it is doing.</summary>
    public required ModelState State { get; init; }

    /// <summary>Why it is <see cref="ModelState.Failed"/>, with the remedy; null otherwise.</summary>
    public string? Reason { get; init; }

    /// <summary>The model; not null exactly when the state is <see cref="ModelState.Ready"/>.</summary>
    public Model? Model { get; init; }

    /// <summary>What the folder says of itself, where it could be read.</summary>
    public ModelManifest? Manifest { get; init; }

    /// <summary>Execution provider: <c>cpu</c> or <c>cuda</c>.</summary>
    public string? Provider { get; init; }

    /// <summary>Batches that run at once.</summary>
    public int Workers { get; init; }

    /// <summary>Threads of one batch.</summary>
    public int Threads { get; init; }

    /// <summary>From the start of loading until ready or failed, warm-up included.</summary>
    public TimeSpan LoadTime { get; init; }

    /// <summary>Things a person should know that do not keep the model from being served.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];
}
