using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Serving;

/// <summary>What to load, and how it runs.</summary>
public sealed record LoadingOptions
{
    /// <summary>The models directory: every folder in it that has a config.json or an ONNX file is a model.</summary>
    public required string Directory { get; init; }

    /// <summary>The ONNX file to take by folder (<c>Models:{folder}:File</c>), relative to the folder. For folders with several, such as a quantised one beside the default.</summary>
    public IReadOnlyDictionary<string, string> Files { get; init; } = new Dictionary<string, string>();

    /// <summary>Which file counts by model id where tokenizer_config.json and tokenizer.json disagree (<c>Models:{id}:TokenizerConfig</c>); tokenizer.json where none is named.</summary>
    public IReadOnlyDictionary<string, TokenizerConfigUse> TokenizerConfigs { get; init; } = new Dictionary<string, TokenizerConfigUse>();

    /// <summary>How graphs are executed.</summary>
    public ExecutionOptions Execution { get; init; } = new();

    /// <summary>How the queues pack.</summary>
    public QueueOptions Queue { get; init; } = new();
}
