namespace InferenceServer.Engine.Tokenization;

/// <summary>
/// What a text (or a pair) became: parallel arrays, one entry a token. The fields are those of the reference's
/// <c>Encoding</c> (Hugging Face tokenizers 0.22).
/// </summary>
public sealed class TokenEncoding
{
    /// <summary>Token ids.</summary>
    public required int[] Ids { get; init; }

    /// <summary>Segment of each token (<c>token_type_ids</c>).</summary>
    public required int[] TypeIds { get; init; }

    /// <summary>
    /// <c>[start, end)</c> of each token in UTF-16 units of the original text (of the pair's own text for its tokens);
    /// <see cref="TextOffsets"/> turns them into Unicode code points for the wire.
    /// </summary>
    public required (int Start, int End)[] Offsets { get; init; }

    /// <summary>1 for tokens that the post-processor or padding put in, 0 for those of the text (typed special tokens included).</summary>
    public required byte[] SpecialTokensMask { get; init; }

    /// <summary>Index of the word (pre-tokenizer piece) of each token, restarting at 0 in the second sequence; -1 for none.</summary>
    public required int[] WordIds { get; init; }

    /// <summary>0 or 1: the sequence that a token comes from; -1 for template tokens and padding.</summary>
    public required sbyte[] SequenceIds { get; init; }

    /// <summary>1 for real tokens, 0 for padding.</summary>
    public required byte[] AttentionMask { get; init; }

    /// <summary>The encoding's own token strings (they may differ from id-to-token: unknown pieces, swallowed spaces). Made when first asked for.</summary>
    public IReadOnlyList<string> Tokens => field ??= MakeTokens();

    /// <summary>The pieces that truncation cut off, in the reference's order.</summary>
    public IReadOnlyList<TokenEncoding> Overflowing { get; init; } = [];

    /// <summary>True when truncation cut something off, kept in <see cref="Overflowing"/> or not.</summary>
    public bool IsTruncated { get; internal set; }

    /// <summary>Makes <see cref="Tokens"/>.</summary>
    internal Func<IReadOnlyList<string>> MakeTokens { get; init; } = static () => [];

    /// <summary>Number of tokens.</summary>
    public int Length => Ids.Length;
}
