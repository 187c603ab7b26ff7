namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>Nmt</c>: removes most controls and turns other blanks into spaces, as SentencePiece's <c>nmt</c> rules begin.</summary>
internal sealed class Nmt : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text)
    {
        Filter.Remove(text, static c => c is (>= 1 and <= 8) or 0x0B or (>= 0x0E and <= 0x1F) or 0x7F or 0x8F or 0x9F);
        foreach (ref var c in text.Chars)
        {
            if (c is '\t' or '\n' or '\f' or '\r' or '\u1680' or (>= '\u200B' and <= '\u200F') or '\u2028' or '\u2029' or '\u2581' or '\uFEFF' or '\uFFFD')
            {
                c = ' ';
            }
        }
    }
}
