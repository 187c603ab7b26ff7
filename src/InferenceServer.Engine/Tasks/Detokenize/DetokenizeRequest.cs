namespace InferenceServer.Engine.Tasks.Detokenize;

/// <summary>Token ids to turn into text.</summary>
public sealed record DetokenizeRequest
{
    /// <summary>The sequences, at least 1; a sequence may be empty.</summary>
    public required IReadOnlyList<int[]> Ids { get; init; }

    /// <summary>Leave special tokens out.</summary>
    public bool SkipSpecialTokens { get; init; } = true;
}
