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
}
