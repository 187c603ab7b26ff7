using System.Text;
using InferenceServer.Engine.Tokenization.Patterns;

namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary><c>Replace</c>: a string or a regular expression, token by token.</summary>
internal sealed class Replace(Pattern pattern, string content) : Decoder
{
    /// <inheritdoc/>
    public override List<string> Decode(List<string> tokens)
    {
        MatchSink? matches = null;
        for (var i = 0; i < tokens.Count; i++)
        {
            var token = tokens[i];
            if (pattern.Literal is { Length: > 0 } literal)
            {
                tokens[i] = token.Replace(literal, content, StringComparison.Ordinal);
                continue;
            }

            matches ??= new MatchSink();
            matches.Matches.Clear();
            pattern.FindMatches(token, matches);
            if (matches.Matches.Count == 0)
            {
                continue;
            }

            var text = new StringBuilder();
            var at = 0;
            foreach (var (start, end) in matches.Matches)
            {
                text.Append(token, at, start - at).Append(content);
                at = end;
            }

            tokens[i] = text.Append(token, at, token.Length - at).ToString();
        }

        return tokens;
    }
}
