namespace InferenceServer.Engine.Tasks.TextClassification;

/// <summary>Which labels do texts, or pairs of texts, have?</summary>
public sealed record TextClassificationRequest : PredictionRequest
{
    /// <summary>Labels to give, best first; at least 1, null or more than there are gives all.</summary>
    public int? TopK { get; init; }

    /// <summary>What turns logits into scores; null for the one that the model's config asks for.</summary>
    public ScoreFunction? Function { get; init; }
}

/// <summary>What turns logits into scores.</summary>
public enum ScoreFunction
{
    /// <summary>Probabilities that add up to 1: one label is right.</summary>
    Softmax,

    /// <summary>A probability for each label on its own: any number of labels may be right.</summary>
    Sigmoid,

    /// <summary>The logits as they are (regression).</summary>
    None,
}
