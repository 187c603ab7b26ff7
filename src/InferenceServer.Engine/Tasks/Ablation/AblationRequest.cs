using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tasks.Ablation;

/// <summary>What does a prediction owe to a part of the input?</summary>
public sealed record AblationRequest
{
    /// <summary>The text; or <see cref="InputIds"/>.</summary>
    public string? Text { get; init; }

    /// <summary>Ready ids that go into the graph as they are; or <see cref="Text"/>.</summary>
    public int[]? InputIds { get; init; }

    /// <summary>The second text of a pair; an empty one is a pair.</summary>
    public string? TextPair { get; init; }

    /// <summary>The fixed target of an encoder-decoder as text; null, and no ids: the model's own translation.</summary>
    public string? TargetText { get; init; }

    /// <summary>The same as the decoder's input ids, start token included.</summary>
    public int[]? TargetIds { get; init; }

    /// <summary>The prediction: fill-mask, text classification or next token; null for an encoder-decoder, whose target it is.</summary>
    public IPredictionTask? Task { get; init; }

    /// <summary>Its parameters, without inputs; of the type that <see cref="Task"/> takes.</summary>
    public PredictionRequest? Prediction { get; init; }

    /// <summary>Positions of tokens that are taken out.</summary>
    public IReadOnlyList<int> Remove { get; init; } = [];

    /// <summary>Positions of tokens that the mask token replaces.</summary>
    public IReadOnlyList<int> Mask { get; init; } = [];

    /// <summary>Heads that are switched off.</summary>
    public IReadOnlyList<AblationHead> Heads { get; init; } = [];

    /// <summary>One change a token, special ones excepted; null: the one that is named.</summary>
    public AblationEach? Each { get; init; }

    /// <summary>Cut a sequence that is too long, of a pair the longer text first; else it is an error.</summary>
    public bool Truncate { get; init; }
}

/// <summary>A head.</summary>
/// <param name="Layer">Its layer.</param>
/// <param name="Head">Its number in the layer.</param>
/// <param name="Kind">Whose attention; null: the model's first kind.</param>
public sealed record AblationHead(int Layer, int Head, AttentionKind? Kind = null);

/// <summary>What is done to one token after the other.</summary>
public enum AblationEach
{
    /// <summary>It is taken out.</summary>
    Remove,

    /// <summary>The mask token stands in its place.</summary>
    Mask,
}

/// <summary>What a change makes of a prediction.</summary>
public sealed record AblationResult
{
    /// <summary>The prediction of the input as it is; null with a target.</summary>
    public PredictionResult? Before { get; init; }

    /// <summary>The prediction of the changed input; null with a target, and where there are several changes.</summary>
    public PredictionResult? After { get; init; }

    /// <summary>What changed; null where there are several changes.</summary>
    public IReadOnlyList<AblationDifference>? Difference { get; init; }

    /// <summary>Each change with what it did; null where there is one.</summary>
    public IReadOnlyList<AblationChange>? Differences { get; init; }

    /// <summary>True when something of the sequence was cut off; else null.</summary>
    public bool? Truncated { get; init; }
}

/// <summary>What taking out or masking one token did.</summary>
/// <param name="Position">The token.</param>
/// <param name="Difference">What changed.</param>
public sealed record AblationChange(int Position, IReadOnlyList<AblationDifference> Difference);

/// <summary>A number of the prediction, before and after.</summary>
public sealed record AblationDifference
{
    /// <summary>Of a classification: the label.</summary>
    public string? Label { get; init; }

    /// <summary>Where the token stands: of fill-mask the mask in the unchanged sequence, of a target the token among the target's; else null.</summary>
    public int? Position { get; init; }

    /// <summary>The token.</summary>
    public string? Token { get; init; }

    /// <summary>Its score before; with a target its log-probability (natural).</summary>
    public required double Before { get; init; }

    /// <summary>The same after the change.</summary>
    public required double After { get; init; }
}
