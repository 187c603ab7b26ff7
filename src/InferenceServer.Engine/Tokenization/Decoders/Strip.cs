using System.Text;

namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary>
/// <c>Strip</c>: removes up to <paramref name="start"/> leading and <paramref name="stop"/> trailing <paramref name="content"/> of each token.
/// The reference crashes on tokens shorter than that; here they become empty.
/// </summary>
internal sealed class Strip(Rune content, int start, int stop) : Decoder
{
    private readonly string mark = content.ToString();

    /// <inheritdoc/>
    public override List<string> Decode(List<string> tokens)
    {
        for (var i = 0; i < tokens.Count; i++)
        {
            var token = tokens[i].AsSpan();
            for (var n = 0; n < start && token.StartsWith(mark, StringComparison.Ordinal); n++)
            {
                token = token[mark.Length..];
            }

            for (var n = 0; n < stop && token.EndsWith(mark, StringComparison.Ordinal); n++)
            {
                token = token[..^mark.Length];
            }

            if (token.Length != tokens[i].Length)
            {
                tokens[i] = token.ToString();
            }
        }

        return tokens;
    }
}
