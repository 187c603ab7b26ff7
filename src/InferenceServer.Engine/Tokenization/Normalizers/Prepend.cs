namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>Prepend</c>: puts a string in front of every piece between added tokens; an empty piece stays empty.</summary>
internal sealed class Prepend(string content) : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text) => text.Prepend(content);
}
