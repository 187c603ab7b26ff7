using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>NFC</c>: the Unicode normalisation form of that name.</summary>
internal sealed class NFC : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text) => UnicodeNormalization.Of(NormalizationForm.Nfc).Normalize(text);
}
