namespace InferenceServer.Engine.Tokenization;

/// <summary>Turns offsets in UTF-16 units into Unicode code points (a lone surrogate counts one) and back.</summary>
public sealed class TextOffsets
{
    private readonly int[]? codePoints; // per UTF-16 unit, and one past the end; null when they are equal

    /// <summary>Prepares the offsets of <paramref name="text"/>; costs nothing when it has no surrogate pairs.</summary>
    public TextOffsets(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
        {
            return;
        }

        codePoints = new int[text.Length + 1];
        var count = 0;
        for (var i = 0; i < text.Length; i++)
        {
            codePoints[i] = count;
            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                codePoints[++i] = count;
            }

            count++;
        }

        codePoints[text.Length] = count;
    }

    /// <summary>The code point index of UTF-16 index <paramref name="utf16"/>.</summary>
    public int ToCodePoints(int utf16) => codePoints is null ? utf16 : codePoints[utf16];

    /// <summary>The span in code points of a span in UTF-16 units.</summary>
    public (int Start, int End) ToCodePoints((int Start, int End) span) => (ToCodePoints(span.Start), ToCodePoints(span.End));
}
