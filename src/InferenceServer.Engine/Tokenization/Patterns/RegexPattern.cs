using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>A regular expression in Oniguruma's syntax.</summary>
internal sealed class RegexPattern(RegexProgram program) : Pattern
{
    /// <inheritdoc/>
    public override void FindMatches(ReadOnlySpan<char> text, MatchSink matches)
    {
        if (text.IsEmpty)
        {
            return;
        }

        using var matcher = new RegexMatcher(program, text, EncodeWorkspace.Current.Work ?? WorkLimits.Of(text.Length));
        var at = 0;
        var last = -1;
        while (at <= text.Length && matcher.Find(at, out var start, out var end))
        {
            if (start == end && end == last)
            {
                // An empty match directly behind a match does not count; the search goes on one character later.
                if (at == text.Length)
                {
                    return;
                }

                CodePoints.Next(text, ref at);
                continue;
            }

            matches.Add(start, end);
            at = last = end;
        }
    }
}
