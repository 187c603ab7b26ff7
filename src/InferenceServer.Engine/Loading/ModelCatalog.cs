using System.Collections.Concurrent;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tasks;

namespace InferenceServer.Engine.Loading;

/// <summary>The models by id. Thread-safe; entries are immutable and replaced as a whole.</summary>
public sealed class ModelCatalog
{
    private readonly ConcurrentDictionary<string, ModelEntry> entries = new(StringComparer.Ordinal);

    /// <summary>All entries, by id.</summary>
    public IReadOnlyList<ModelEntry> Entries => [.. entries.Values.OrderBy(e => e.Id, StringComparer.Ordinal)];

    /// <summary>True until the models directory has been listed for the first time.</summary>
    public bool IsStarting { get; internal set; } = true;

    /// <summary>True when nothing is loading and at least one model is ready.</summary>
    public bool IsReady => !IsStarting && !entries.Values.Any(e => e.State == ModelState.Loading) && entries.Values.Any(e => e.State == ModelState.Ready);

    /// <summary>The entry of that id, or null.</summary>
    public ModelEntry? Find(string id) => entries.GetValueOrDefault(id);

    /// <summary>The entry of that id, whatever its state.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.UnknownModel"/>; the message names the known ids.</exception>
    public ModelEntry Entry(string id) => Find(id) ?? throw Unknown(id);

    /// <summary>The ready model of that id.</summary>
    /// <exception cref="InferenceException">
    /// <see cref="ErrorCode.UnknownModel"/> (names the known ids), <see cref="ErrorCode.NotLoaded"/> (failed, with its reason, or unloaded),
    /// <see cref="ErrorCode.Unavailable"/> (still loading).
    /// </exception>
    public Model Get(string id)
    {
        var entry = Entry(id);
        return entry.State switch
        {
            ModelState.Ready => entry.Model!,
            ModelState.Loading => throw new InferenceException(ErrorCode.Unavailable, $"The model '{id}' is still loading; try again in a moment.") { RetryAfter = TimeSpan.FromSeconds(1) },
            ModelState.Failed => throw new InferenceException(ErrorCode.NotLoaded, $"The model '{id}' could not be loaded: {entry.Reason}"),
            _ => throw new InferenceException(ErrorCode.NotLoaded, $"The model '{id}' is unloaded; load it with POST /api/models/{id}/load."),
        };
    }

    internal void Set(ModelEntry entry) => entries[entry.Id] = entry;

    private InferenceException Unknown(string id)
    {
        const int shown = 20;
        var known = Entries.Select(e => $"'{e.Id}'").ToList();
        var list = known.Count switch
        {
            0 when IsStarting => "the models are still being listed",
            0 => "no model is known",
            > shown => $"known are {string.Join(", ", known.Take(shown))} and {known.Count - shown} more (GET /api/models)",
            _ => $"known are {string.Join(", ", known)}",
        };
        var name = id.Length > 100 ? id[..100] + "..." : id;
        return new InferenceException(ErrorCode.UnknownModel, $"There is no model '{name}'; {list}.");
    }
}
