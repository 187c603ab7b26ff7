using System.Globalization;
using System.Text;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>What sentence-transformers 5.1 does to a text with Python's <c>str.strip</c> and <c>str.lower</c>, in UTF-16 units.</summary>
internal static class PythonText
{
    private const char Sigma = '\u03A3';
    private const char DottedI = '\u0130';
    private const char DotAbove = '\u0307';
    private const char FinalSigma = '\u03C2';

    /// <summary>The text without white space at both ends; <paramref name="cut"/>: units that went at its start.</summary>
    public static string Strip(string text, out int cut)
    {
        var (start, end) = (0, text.Length);
        while (start < end && IsSpace(text[start]))
        {
            start++;
        }

        while (end > start && IsSpace(text[end - 1]))
        {
            end--;
        }

        cut = start;
        return text[start..end];
    }

    /// <summary>The text in lower case: a sigma at the end of a word becomes the final one (Unicode 3.13, Final_Sigma), U+0130 becomes 'i' and a dot above, which is one unit more.</summary>
    /// <param name="text">The text.</param>
    /// <param name="added">Where those units stand in the result, ascending.</param>
    public static string Lower(string text, out List<int> added)
    {
        added = [];
        var lower = text.ToLowerInvariant();
        if (text.AsSpan().IndexOfAny(Sigma, DottedI) < 0)
        {
            return lower;
        }

        var result = new StringBuilder(lower.Length);
        List<int> dots = [];
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == DottedI)
            {
                result.Append('i').Append(DotAbove);
                dots.Add(result.Length - 1);
            }
            else
            {
                result.Append(text[i] == Sigma && IsCased(text, i, -1) && !IsCased(text, i, 1) ? FinalSigma : lower[i]);
            }
        }

        added = dots;
        return result.ToString();
    }

    // The separators U+001C to U+001F are white space to Python alone.
    private static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F';

    // Whether the next character that is not ignored is a letter of a case.
    private static bool IsCased(string text, int at, int step)
    {
        for (var i = at + step; i >= 0 && i < text.Length; i += step)
        {
            var category = char.IsLowSurrogate(text[i]) && i > 0 ? CharUnicodeInfo.GetUnicodeCategory(text, i - 1) : CharUnicodeInfo.GetUnicodeCategory(text, i);
            if (category is UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter)
            {
                return true;
            }

            var ignored = category is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format or UnicodeCategory.ModifierLetter or UnicodeCategory.ModifierSymbol
                || text[i] is '\'' or '.' or ':' or '\u00B7' or '\u0387' or '\u2018' or '\u2019' or '\u2024' or '\u2027';
            if (!ignored)
            {
                return false;
            }
        }

        return false;
    }
}
