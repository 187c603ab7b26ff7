using System.Numerics;
using System.Runtime.InteropServices;

namespace InferenceServer.Engine.Tokenization;

/// <summary>Text without lone surrogates.</summary>
internal static class WellFormed
{
    /// <summary>The text; with every lone surrogate as U+FFFD (the same place, the same length) if it has any.</summary>
    public static ReadOnlySpan<char> Of(string text)
    {
        var at = FirstSurrogate(text);
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
    public static bool HasPairs(ReadOnlySpan<char> text) => FirstSurrogate(text) >= 0;

    // The library's search of a range allocates, and this is asked for every piece.
    private static int FirstSurrogate(ReadOnlySpan<char> text)
    {
        var at = 0;
        if (Vector.IsHardwareAccelerated && text.Length >= Vector<ushort>.Count)
        {
            var units = MemoryMarshal.Cast<char, ushort>(text);
            var mask = new Vector<ushort>(0xF800);
            var surrogate = new Vector<ushort>(0xD800);
            while (at + Vector<ushort>.Count <= units.Length && !Vector.EqualsAny(new Vector<ushort>(units[at..]) & mask, surrogate))
            {
                at += Vector<ushort>.Count;
            }
        }

        for (; at < text.Length; at++)
        {
            if ((text[at] & 0xF800) == 0xD800)
            {
                return at;
            }
        }

        return -1;
    }
}
