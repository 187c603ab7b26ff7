using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>Strip</c>: removes white space at the ends.</summary>
internal sealed class Strip(bool left, bool right) : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text)
    {
        // White space has no supplementary characters: units will do.
        var chars = text.Text;
        var start = 0;
        var end = chars.Length;
        while (left && start < end && CharacterClasses.IsWhiteSpace(chars[start]))
        {
            start++;
        }

        while (right && end > start && CharacterClasses.IsWhiteSpace(chars[end - 1]))
        {
            end--;
        }

        text.Keep(start, end);
    }
}
