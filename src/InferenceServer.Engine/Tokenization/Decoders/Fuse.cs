namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary><c>Fuse</c>: all tokens become one.</summary>
internal sealed class Fuse : Decoder
{
    /// <inheritdoc/>
    public override List<string> Decode(List<string> tokens) => [string.Concat(tokens)];
}
