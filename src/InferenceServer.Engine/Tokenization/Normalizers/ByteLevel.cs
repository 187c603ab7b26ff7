using InferenceServer.Engine.Tokenization.PreTokenizers;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>ByteLevel</c>: writes every UTF-8 byte as its printable symbol.</summary>
internal sealed class ByteLevel : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text) => ByteSymbols.Rewrite(text);
}
