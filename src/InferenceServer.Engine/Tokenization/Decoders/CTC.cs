namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary><c>CTC</c>: repeats go, then pads; with cleanup the word delimiter becomes a space.</summary>
internal sealed class CTC(string pad, string delimiter, bool cleanup) : Decoder
{
    /// <inheritdoc/>
    public override List<string> Decode(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        string? last = null;
        foreach (var token in tokens)
        {
            if (token == last)
            {
                continue;
            }

            last = token;
            var text = Texts.Replace(token, pad, "");
            if (cleanup)
            {
                text = Texts.Replace(WordPiece.Cleanup(text), delimiter, " ");
            }

            if (text.Length > 0)
            {
                result.Add(text);
            }
        }

        return result;
    }
}
