namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>Sequence</c>: one normalizer after the other.</summary>
internal sealed class Sequence(Normalizer[] normalizers) : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text)
    {
        foreach (var normalizer in normalizers)
        {
            normalizer.Normalize(text);
        }
    }
}
