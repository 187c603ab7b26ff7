using InferenceServer.Engine.Tokenization.Patterns;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary>
/// <c>Replace</c>: puts <paramref name="content"/> in the place of every match; it stands for the last character of the match.
/// Of empty matches those directly behind a match do not count.
/// </summary>
internal sealed class Replace(Pattern pattern, string content) : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text)
    {
        if (pattern.Literal is { Length: > 0 } literal)
        {
            text.Replace(literal, content);
            return;
        }

        var matches = new MatchSink();
        pattern.FindMatches(text.Text, matches);
        if (matches.Matches.Count == 0)
        {
            return;
        }

        var rewriter = text.Rewrite();
        var at = 0;
        foreach (var (start, end) in matches.Matches)
        {
            rewriter.Copy(at, start - at);
            rewriter.Insert(content, end);
            at = end;
        }

        rewriter.Copy(at, text.Length - at);
        rewriter.Commit();
    }
}
