namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary><c>Sequence</c>: one after the other.</summary>
internal sealed class Sequence(IReadOnlyList<Decoder> decoders) : Decoder
{
    /// <inheritdoc/>
    public override List<string> Decode(List<string> tokens)
    {
        foreach (var decoder in decoders)
        {
            tokens = decoder.Decode(tokens);
        }

        return tokens;
    }
}
