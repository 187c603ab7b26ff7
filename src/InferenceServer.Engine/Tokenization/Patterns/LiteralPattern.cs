namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>A string that is not empty.</summary>
internal sealed class LiteralPattern(string literal) : Pattern
{
    /// <inheritdoc/>
    public override string? Literal => literal;

    /// <inheritdoc/>
    public override void FindMatches(ReadOnlySpan<char> text, MatchSink matches)
    {
        var at = 0;
        while (text[at..].IndexOf(literal, StringComparison.Ordinal) is >= 0 and var next)
        {
            matches.Add(at + next, at + next + literal.Length);
            at += next + literal.Length;
        }
    }
}
