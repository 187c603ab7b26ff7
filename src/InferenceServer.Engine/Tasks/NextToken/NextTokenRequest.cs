namespace InferenceServer.Engine.Tasks.NextToken;

/// <summary>Which token comes next?</summary>
public sealed record NextTokenRequest : PredictionRequest
{
    /// <summary>Candidates, best first; at least 1, more than the vocabulary gives all of it.</summary>
    public int TopK { get; init; } = 5;

    /// <summary>Ids that are given behind the best candidates, whatever their rank.</summary>
    internal IReadOnlyCollection<int> Besides { get; init; } = [];
}
