namespace InferenceServer.Engine.Tasks.Tokenize;

/// <summary>The tokens of every input, in their order.</summary>
public sealed record TokenizeResult(IReadOnlyList<TokenizedItem> Items);

/// <summary>Tokens of an input: parallel lists, one entry a token.</summary>
public sealed record TokenizedItem
{
    /// <summary>Token ids.</summary>
    public required IReadOnlyList<int> Ids { get; init; }

    /// <summary>Tokens as the vocabulary has them.</summary>
    public required IReadOnlyList<string> Tokens { get; init; }

    /// <summary><c>[start, end]</c> of each token in Unicode code points of its own text (a pair's second text restarts at 0).</summary>
    public required IReadOnlyList<int[]> Offsets { get; init; }

    /// <summary>Segment of each token.</summary>
    public required IReadOnlyList<int> TypeIds { get; init; }

    /// <summary>1 for tokens that the tokenizer put in, 0 for those of the text.</summary>
    public required IReadOnlyList<int> SpecialTokensMask { get; init; }

    /// <summary>Index of the word of each token, null where there is none.</summary>
    public required IReadOnlyList<int?> WordIds { get; init; }

    /// <summary>What truncation cut off, as further windows; null when nothing was cut.</summary>
    public IReadOnlyList<TokenizedItem>? Overflow { get; init; }
}
