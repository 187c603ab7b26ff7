namespace InferenceServer.Engine.Tokenization;

/// <summary>Text without lone surrogates.</summary>
internal static class WellFormed
{
    /// <summary>The text; with every lone surrogate as U+FFFD (the same place, the same length) if it has any.</summary>
    public static ReadOnlySpan<char> Of(string text)
    {
        var at = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF');
        if (at < 0)
        {
            return text;
        }

        char[]? copy = null;
        for (var i = at; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
            {
                continue;
            }

            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                i++;
                continue;
            }

            copy ??= text.ToCharArray();
            copy[i] = '\uFFFD';
        }

        return copy ?? text.AsSpan();
    }

    /// <summary>Whether the text has surrogate pairs.</summary>
    public static bool HasPairs(ReadOnlySpan<char> text) => text.ContainsAnyInRange('\uD800', '\uDFFF');
}
