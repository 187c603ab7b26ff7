using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks;

/// <summary>What tasks run on: a ready model. Loading makes it; it is immutable.</summary>
public sealed record Model
{
    /// <summary>What the folder says.</summary>
    public required ModelManifest Manifest { get; init; }

    /// <summary>What the graph says (the encoder's, for an encoder-decoder).</summary>
    public required GraphSummary Graph { get; init; }

    /// <summary>The tokenizer.</summary>
    public required Tokenizer Tokenizer { get; init; }

    /// <summary>The way to the graph.</summary>
    public required IGraphQueue Queue { get; init; }

    /// <summary>Most tokens of one sequence, special tokens included: the smallest of what the files say.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>SHA-256 of the ONNX file, lower-case hex (provenance); empty when the file cannot be read any more.</summary>
    public required Lazy<string> Sha256 { get; init; }
}
