namespace InferenceServer.Engine.Tasks.TokenClassification;

/// <summary>Which parts of texts have which label (named entities, parts of speech)?</summary>
public sealed record TokenClassificationRequest : PredictionRequest
{
    /// <summary>How tokens become entities.</summary>
    public Aggregation Aggregation { get; init; } = Aggregation.None;

    /// <summary>
    /// Tokens that neighbouring windows share, so that a text of any length is read; null: a text longer than the model is
    /// an error. Needs an aggregation other than <see cref="Aggregation.None"/>.
    /// </summary>
    public int? Stride { get; init; }

    /// <summary>Labels that are left out.</summary>
    public IReadOnlyList<string> IgnoreLabels { get; init; } = ["O"];
}

/// <summary>How the labels of tokens become entities (the aggregation strategies of the transformers pipeline).</summary>
public enum Aggregation
{
    /// <summary>Every token by itself.</summary>
    None,

    /// <summary>Neighbouring tokens of the same label are joined by their B- and I- marks.</summary>
    Simple,

    /// <summary>As simple, and a word has the label of its first token.</summary>
    First,

    /// <summary>As simple, and a word has the label of the mean of its tokens' scores.</summary>
    Average,

    /// <summary>As simple, and a word has the label of its token with the highest score.</summary>
    Max,
}
