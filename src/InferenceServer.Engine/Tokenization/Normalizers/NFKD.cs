using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>NFKD</c>: the Unicode normalisation form of that name.</summary>
internal sealed class NFKD : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text) => UnicodeNormalization.Of(NormalizationForm.Nfkd).Normalize(text);
}
