using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Similarity;

/// <summary>A source to compare with sentences.</summary>
public sealed record SimilarityRequest
{
    /// <summary>The text that is compared.</summary>
    public required string Source { get; init; }

    /// <summary>The texts that it is compared with, at least 1.</summary>
    public required IReadOnlyList<string> Sentences { get; init; }

    /// <summary>Say for every pair of tokens what it contributes to the score.</summary>
    public bool Explain { get; init; }

    /// <summary>Cut texts that are too long; else they are errors.</summary>
    public bool Truncate { get; init; }

    /// <summary>The side at which tokens are cut off; null: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }
}
