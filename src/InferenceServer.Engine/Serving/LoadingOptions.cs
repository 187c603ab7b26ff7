using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;

namespace InferenceServer.Engine.Serving;

/// <summary>What to load, and how it runs.</summary>
public sealed record LoadingOptions
{
    /// <summary>The models directory: every folder in it that has a config.json or an ONNX file is a model.</summary>
    public required string Directory { get; init; }

    /// <summary>What is set for single models, by id (<c>Models:{id}:...</c>).</summary>
    public IReadOnlyDictionary<string, ModelSettings> Models { get; init; } = new Dictionary<string, ModelSettings>();

    /// <summary>How graphs are executed.</summary>
    public ExecutionOptions Execution { get; init; } = new();

    /// <summary>How the queues pack.</summary>
    public QueueOptions Queue { get; init; } = new();

    /// <summary>Bounds of text generation.</summary>
    public GenerationOptions Generation { get; init; } = new();
}
