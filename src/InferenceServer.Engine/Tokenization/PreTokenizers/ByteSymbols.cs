using System.Text;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary>The printable characters that byte-level BPE writes bytes as (GPT-2's <c>bytes_to_unicode</c>).</summary>
internal static class ByteSymbols
{
    private static readonly char[] Symbols = MakeSymbols();
    private static readonly short[] Bytes = MakeBytes();

    /// <summary>The character of a byte.</summary>
    public static char Symbol(byte value) => Symbols[value];

    /// <summary>The byte of a character, or -1.</summary>
    public static int Byte(char symbol) => symbol < Bytes.Length ? Bytes[symbol] : -1;

    /// <summary>Writes every character as the symbols of its UTF-8 bytes, each standing for the whole character.</summary>
    public static void Rewrite(NormalizedString text)
    {
        var chars = text.Text;
        if (!chars.ContainsAnyExceptInRange('!', '~'))
        {
            return;
        }

        var rewriter = text.Rewrite();
        Span<byte> utf8 = stackalloc byte[4];
        Span<char> symbols = stackalloc char[4];
        for (var i = 0; i < chars.Length;)
        {
            Rune.DecodeFromUtf16(chars[i..], out var rune, out var units);
            var bytes = rune.EncodeToUtf8(utf8);
            for (var b = 0; b < bytes; b++)
            {
                symbols[b] = Symbols[utf8[b]];
            }

            rewriter.Append(symbols[..bytes], i);
            i += units;
        }

        rewriter.Commit();
    }

    private static char[] MakeSymbols()
    {
        var symbols = new char[256];
        var next = 256;
        for (var b = 0; b < 256; b++)
        {
            symbols[b] = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF) ? (char)b : (char)next++;
        }

        return symbols;
    }

    private static short[] MakeBytes()
    {
        var bytes = new short[512];
        Array.Fill(bytes, (short)-1);
        for (var b = 0; b < 256; b++)
        {
            bytes[Symbols[b]] = (short)b;
        }

        return bytes;
    }
}
