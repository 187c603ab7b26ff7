using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>Reading code points out of UTF-16; a lone surrogate reads as itself.</summary>
internal static class CodePoints
{
    /// <summary>The code point at <paramref name="index"/>, which moves behind it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Next(ReadOnlySpan<char> text, ref int index)
    {
        int c = text[index++];
        if ((c & 0xFC00) == 0xD800 && index < text.Length && (text[index] & 0xFC00) == 0xDC00)
        {
            c = 0x10000 + ((c - 0xD800) << 10) + (text[index++] - 0xDC00);
        }

        return c;
    }

    /// <summary>The code point before <paramref name="index"/>, which moves in front of it.</summary>
    public static int Previous(ReadOnlySpan<char> text, ref int index)
    {
        int c = text[--index];
        if ((c & 0xFC00) == 0xDC00 && index > 0 && (text[index - 1] & 0xFC00) == 0xD800)
        {
            c = 0x10000 + ((text[--index] - 0xD800) << 10) + (c - 0xDC00);
        }

        return c;
    }

    /// <summary>Writes the code point into <paramref name="units"/> (two of them at least) and says how many it took.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Write(int codePoint, Span<char> units)
    {
        if (codePoint < 0x10000)
        {
            units[0] = (char)codePoint;
            return 1;
        }

        units[0] = (char)(0xD800 + ((codePoint - 0x10000) >> 10));
        units[1] = (char)(0xDC00 + (codePoint & 0x3FF));
        return 2;
    }
}
