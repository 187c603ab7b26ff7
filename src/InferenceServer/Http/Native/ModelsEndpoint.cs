using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary><c>GET /api/models</c> and <c>GET /api/models/{model}</c>.</summary>
internal static class ModelsEndpoint
{
    /// <summary>Maps them.</summary>
    public static void MapModels(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/models", List)
            .Describes("models", "List the models", "Every model folder with its state; a folder that cannot be served says why.")
            .Refuses(500);
        routes.MapGet("/api/models/{model}", Get)
            .Describes("model", "Describe a model", "What the server understood of the folder: tasks, sizes, labels, pooling, provider, file and its hash.", "demo-bert")
            .Refuses(404, 500);
    }

    private static JsonAnswer<ModelsAnswer> List(ModelRegistry registry) => new(new ModelsAnswer([.. registry.Models.Select(m => Answer(m.Status))]));

    private static JsonAnswer<ModelAnswer> Get(string model, ModelRegistry registry) => new(Answer(Known(registry, model).Status));

    /// <summary>The model of that id.</summary>
    /// <exception cref="RequestException">There is none; the message names the nearest and says where all are listed.</exception>
    public static ServedModel Known(ModelRegistry registry, string id)
    {
        if (registry.Find(id) is { } model)
        {
            return model;
        }

        const int shown = 20;
        var ids = registry.Models.Select(m => m.Id).ToList();
        var near = NearestName.Find(id, ids) is { } name ? $" Did you mean '{name}'?" : "";
        var all = ids.Count == 0 ? registry.IsStarting ? "they are still being listed" : "there is none" : string.Join(", ", ids.Take(shown)) + (ids.Count > shown ? ", ..." : "");
        throw new RequestException(ErrorCode.UnknownModel, $"There is no model '{(id.Length > 100 ? id[..100] + "..." : id)}'.{near} GET /api/models lists them: {all}.");
    }

    private static ModelAnswer Answer(ModelStatus entry)
    {
        var manifest = entry.Model?.Manifest ?? entry.Manifest;
        var config = manifest?.Config;
        var tasks = entry.Model is { } ready ? TaskNames.Of(ready) : [];
        return new ModelAnswer
        {
            Id = entry.Id,
            State = entry.State,
            Reason = entry.Reason,
            Architecture = config?.Architectures.Count > 0 ? config.Architectures[0] : config?.ModelType,
            Tasks = tasks,
            HiddenSize = config?.HiddenSize,
            Layers = config?.Layers,
            Heads = config?.Heads,
            MaxTokens = entry.Model?.MaxTokens,
            MaskToken = entry.Model?.Capabilities.MaskToken,
            Pooling = entry.Model?.Capabilities.Pooling,
            Labels = config?.Labels.Count > 0 ? config.Labels : null,
            Dtype = entry.Model?.Graph.WeightType,
            Provider = entry.Provider,
            File = manifest is null ? null : Path.GetRelativePath(manifest.Folder, manifest.Files.Main).Replace('\\', '/'),
            Sha256 = entry.Model is { Sha256: { IsValueCreated: true, Value: { IsCompletedSuccessfully: true } hash } } ? hash.Result : null,
            Workers = entry.Model is null ? null : entry.Workers,
            Threads = entry.Model is null ? null : entry.Threads,
            Notes = entry.Notes.Count > 0 ? entry.Notes : null,
        };
    }
}

/// <summary>Every model.</summary>
/// <param name="Models">By id.</param>
internal sealed record ModelsAnswer(IReadOnlyList<ModelAnswer> Models);

/// <summary>A model: its state, and what the server understood of its folder.</summary>
internal sealed record ModelAnswer
{
    /// <summary>The folder's name.</summary>
    public required string Id { get; init; }

    /// <summary>What it is doing.</summary>
    public required ModelState State { get; init; }

    /// <summary>Why it failed, with the remedy.</summary>
    public string? Reason { get; init; }

    /// <summary>The first of config.json's architectures.</summary>
    public string? Architecture { get; init; }

    /// <summary>What it can be asked.</summary>
    public required IReadOnlyList<string> Tasks { get; init; }

    /// <summary>Hidden size.</summary>
    public int? HiddenSize { get; init; }

    /// <summary>Layers (of the encoder, for an encoder-decoder).</summary>
    public int? Layers { get; init; }

    /// <summary>Attention heads of a layer.</summary>
    public int? Heads { get; init; }

    /// <summary>Most tokens of a sequence, special tokens included.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>The token that stands for a missing word; absent when the tokenizer has none.</summary>
    public MaskToken? MaskToken { get; init; }

    /// <summary>How token vectors become one, and where that was read from; absent when the model makes no vectors.</summary>
    public PoolingChoice? Pooling { get; init; }

    /// <summary>Labels of the head.</summary>
    public IReadOnlyList<string>? Labels { get; init; }

    /// <summary>Type of most weights.</summary>
    public string? Dtype { get; init; }

    /// <summary>Execution provider.</summary>
    public string? Provider { get; init; }

    /// <summary>The ONNX file, relative to the folder.</summary>
    public string? File { get; init; }

    /// <summary>SHA-256 of that file.</summary>
    public string? Sha256 { get; init; }

    /// <summary>Batches that run at once.</summary>
    public int? Workers { get; init; }

    /// <summary>Threads of a batch.</summary>
    public int? Threads { get; init; }

    /// <summary>Things to know that do not keep it from being served.</summary>
    public IReadOnlyList<string>? Notes { get; init; }
}
