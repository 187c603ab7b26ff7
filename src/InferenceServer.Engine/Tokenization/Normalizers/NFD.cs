using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>NFD</c>: the Unicode normalisation form of that name.</summary>
internal sealed class NFD : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text) => UnicodeNormalization.Of(NormalizationForm.Nfd).Normalize(text);
}
