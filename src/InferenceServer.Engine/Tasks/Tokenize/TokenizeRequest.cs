namespace InferenceServer.Engine.Tasks.Tokenize;

/// <summary>Texts or pairs to tokenise. Empty texts are fine.</summary>
public sealed record TokenizeRequest
{
    /// <summary>The texts, at least 1.</summary>
    public required IReadOnlyList<string> Inputs { get; init; }

    /// <summary>The second texts, as many as <see cref="Inputs"/>; null where an input has none (an empty one is a pair).</summary>
    public IReadOnlyList<string?>? Pairs { get; init; }

    /// <summary>Whether the tokenizer's special tokens are put in.</summary>
    public bool AddSpecialTokens { get; init; } = true;

    /// <summary>Cut at <see cref="MaxLength"/>.</summary>
    public bool Truncate { get; init; }

    /// <summary>Most tokens, special tokens included. Null: the model's limit. Given alone it means truncation.</summary>
    public int? MaxLength { get; init; }

    /// <summary>Tokens that an overflow piece repeats of the one before; 0 when null. Given, or with <see cref="MaxLength"/>, the overflow is answered.</summary>
    public int? Stride { get; init; }
}
