namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>What Split and Replace look for: a string or a regular expression. Immutable and thread-safe.</summary>
internal abstract class Pattern
{
    /// <summary>The string that is looked for, or null when the pattern is a regular expression.</summary>
    public virtual string? Literal => null;

    /// <summary>Gives the matches as pieces, when they cover every text without a gap; else null.</summary>
    public virtual PieceSplitter? Tiles => null;

    /// <summary>Finds the matches, front to back, not overlapping. An empty text has none.</summary>
    public abstract void FindMatches(ReadOnlySpan<char> text, MatchSink matches);
}
