namespace InferenceServer.Engine.Tasks.ZeroShot;

/// <summary>Which of the given labels do texts have, asked of a model that knows entailment?</summary>
public sealed record ZeroShotRequest : PredictionRequest
{
    /// <summary>The labels, as they are (a comma is a part of the name).</summary>
    public IReadOnlyList<string> CandidateLabels { get; init; } = [];

    /// <summary>The sentence that is tried for each label, which stands for <c>{}</c>.</summary>
    public string HypothesisTemplate { get; init; } = "This example is {}.";

    /// <summary>The model's label that means entailment, where its name does not say so. Null: the one that was set for the model, else the one that starts with "entail".</summary>
    public string? EntailmentLabel { get; init; }

    /// <summary>Whether each label is judged on its own; else the scores add up to 1.</summary>
    public bool MultiLabel { get; init; }
}
