using System.Buffers;
using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary>
/// <c>BertNormalizer</c>: removes controls, sets Chinese characters apart, strips accents, lowercases; each by its switch,
/// in this order. <paramref name="stripAccents"/> null follows <paramref name="lowercase"/>.
/// </summary>
internal sealed class BertNormalizer(bool cleanText, bool handleChineseChars, bool? stripAccents, bool lowercase) : Normalizer
{
    private static readonly SearchValues<char> PlainAscii = SearchValues.Create(
        [.. Enumerable.Range(' ', 127 - ' ').Select(static c => (char)c)]);

    private readonly bool strips = stripAccents ?? lowercase;

    /// <inheritdoc/>
    public override void Normalize(NormalizedString text)
    {
        if (cleanText && text.Text.ContainsAnyExcept(PlainAscii))
        {
            Clean(text);
        }

        if (text.Text.ContainsAnyExceptInRange('\0', '\x7F'))
        {
            if (handleChineseChars)
            {
                SetChineseApart(text);
            }

            if (strips)
            {
                UnicodeNormalization.Of(NormalizationForm.Nfd).Normalize(text);
                Filter.Remove(text, CharacterClasses.IsBertNonspacing);
            }
        }

        if (lowercase)
        {
            Lowercase.Apply(text);
        }
    }

    private static void Clean(NormalizedString text)
    {
        Filter.Remove(text, CharacterClasses.IsBertControl);
        foreach (ref var c in text.Chars)
        {
            if (CharacterClasses.IsWhiteSpace(c))
            {
                c = ' ';
            }
        }
    }

    private static void SetChineseApart(NormalizedString text)
    {
        var chars = text.Text;
        if (!chars.ContainsAnyInRange('\u3400', '\uFAFF'))
        {
            return; // the supplementary ones begin with a surrogate, which lies in this range
        }

        var rewriter = text.Rewrite();
        var copied = 0;
        Span<char> apart = [' ', ' ', ' ', ' '];
        for (var i = 0; i < chars.Length;)
        {
            var start = i;
            var c = CodePoints.Next(chars, ref i);
            if (CharacterClasses.IsChinese(c))
            {
                rewriter.Copy(copied, start - copied);
                var units = CodePoints.Write(c, apart[1..]);
                apart[1 + units] = ' ';
                rewriter.Append(apart[..(units + 2)], start);
                copied = i;
            }
        }

        if (copied > 0)
        {
            rewriter.Copy(copied, chars.Length - copied);
            rewriter.Commit();
        }
    }
}
