namespace InferenceServer.Engine.Tasks.FillMask;

/// <summary>What stands behind the masks of texts?</summary>
public sealed record FillMaskRequest : PredictionRequest
{
    /// <summary>Candidates for each mask, best first; at least 1, more than the vocabulary gives all of it.</summary>
    public int TopK { get; init; } = 5;

    /// <summary>Only these words are candidates, each a token of the vocabulary; null for the whole vocabulary.</summary>
    public IReadOnlyList<string>? Targets { get; init; }

    /// <summary>Ids that are given behind the best candidates, whatever their rank.</summary>
    internal IReadOnlyCollection<int> Besides { get; init; } = [];
}
