namespace InferenceServer.Engine.Tokenization;

/// <summary>Which side of a pair gives way.</summary>
public enum TruncationStrategy
{
    /// <summary>The longer one first.</summary>
    LongestFirst,

    /// <summary>Only the first sequence.</summary>
    OnlyFirst,

    /// <summary>Only the second sequence.</summary>
    OnlySecond,
}

/// <summary>The side at which tokens are cut off or padding is put.</summary>
public enum Side
{
    /// <summary>At the end.</summary>
    Right,

    /// <summary>At the start.</summary>
    Left,
}

/// <summary>How a sequence that is too long is cut.</summary>
/// <param name="MaxLength">Most tokens, special tokens included.</param>
/// <param name="Stride">Tokens that an overflow piece repeats of the piece before.</param>
/// <param name="Strategy">Which side of a pair gives way.</param>
/// <param name="Direction">The side at which tokens are cut off.</param>
public sealed record Truncation(int MaxLength, int Stride = 0, TruncationStrategy Strategy = TruncationStrategy.LongestFirst, Side Direction = Side.Right)
{
    /// <summary>Whether what is cut off is kept as overflow pieces. Those of a pair are the pieces of one side by those of the other: they can outgrow the text by far.</summary>
    public bool KeepsRest { get; init; } = true;
}
