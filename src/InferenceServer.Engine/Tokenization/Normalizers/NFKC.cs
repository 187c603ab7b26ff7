using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>NFKC</c>: the Unicode normalisation form of that name.</summary>
internal sealed class NFKC : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text) => UnicodeNormalization.Of(NormalizationForm.Nfkc).Normalize(text);
}
