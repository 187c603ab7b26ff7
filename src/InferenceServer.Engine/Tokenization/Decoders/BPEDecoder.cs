namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary><c>BPEDecoder</c>: the end-of-word suffix becomes a space, in the last token nothing.</summary>
internal sealed class BPEDecoder(string suffix) : Decoder
{
    /// <inheritdoc/>
    public override List<string> Decode(List<string> tokens)
    {
        for (var i = 0; i < tokens.Count; i++)
        {
            tokens[i] = Texts.Replace(tokens[i], suffix, i == tokens.Count - 1 ? "" : " ");
        }

        return tokens;
    }
}
