using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>StripAccents</c>: removes all marks (Mn, Mc, Me) that stand alone; it does not decompose first.</summary>
internal sealed class StripAccents : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text)
    {
        if (text.Text.ContainsAnyExceptInRange('\0', '\u02FF'))
        {
            Filter.Remove(text, CharacterClasses.IsMark);
        }
    }
}
