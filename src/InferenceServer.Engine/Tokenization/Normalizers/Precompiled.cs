using System.Globalization;
using System.Text;
using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary>
/// <c>Precompiled</c>: SentencePiece's compiled normalisation rules (a double-array trie over UTF-8 and the replacements),
/// applied as the reference does: a grapheme of fewer than 6 bytes is replaced whole by what its shortest known prefix gives,
/// other graphemes go character by character. SentencePiece itself takes the longest prefix; the reference is followed.
/// </summary>
internal sealed class Precompiled : Normalizer
{
    private readonly uint[] trie;
    private readonly byte[] replacements;
    private readonly bool[] plain = new bool[0x800]; // characters of one or two bytes that no rule touches

    /// <summary>The rules of a charsmap: length of the trie in bytes, the trie, the replacements, each ended by a zero.</summary>
    /// <exception cref="FormatException">The charsmap is damaged.</exception>
    public Precompiled(ReadOnlySpan<byte> charsmap)
    {
        var size = charsmap.Length >= 4 ? System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(charsmap) : uint.MaxValue;
        if (size > charsmap.Length - 4 || size % 4 != 0 || size == 0)
        {
            throw new FormatException("is no charsmap of SentencePiece: its trie is longer than its bytes.");
        }

        trie = new uint[size / 4];
        for (var i = 0; i < trie.Length; i++)
        {
            trie[i] = System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(charsmap[(4 + (i * 4))..]);
        }

        replacements = charsmap[(4 + (int)size)..].ToArray();
        if (!System.Text.Unicode.Utf8.IsValid(replacements))
        {
            throw new FormatException("is no charsmap of SentencePiece: its replacements are not UTF-8.");
        }

        Span<char> unit = stackalloc char[1];
        for (var c = 0; c < plain.Length; c++)
        {
            unit[0] = (char)c;
            plain[c] = Find(unit) < 0;
        }
    }

    /// <inheritdoc/>
    public override void Normalize(NormalizedString text)
    {
        var chars = text.Text;
        var i = PlainPrefix(chars, 0);
        if (i == chars.Length)
        {
            return;
        }

        var parts = new List<UnicodeNormalization.Part>(chars.Length - i);
        var rewriter = text.Rewrite();
        rewriter.Copy(0, i);
        var start = i;
        var modified = false;
        while (i < chars.Length)
        {
            var length = GraphemeLength(chars[i..]);
            var grapheme = chars.Slice(i, length);
            i += length;
            if (IsShort(grapheme) && Find(grapheme) is >= 0 and var whole)
            {
                modified = true;
                Replace(parts, grapheme, whole);
                continue;
            }

            for (var k = 0; k < grapheme.Length;)
            {
                var from = k;
                var c = CodePoints.Next(grapheme, ref k);
                var found = c < plain.Length && plain[c] ? -1 : Find(grapheme[from..k]);
                if (found >= 0)
                {
                    modified = true;
                    Replace(parts, grapheme[from..k], found);
                }
                else
                {
                    parts.Add(new UnicodeNormalization.Part(c, 0, 0));
                }
            }
        }

        if (modified)
        {
            UnicodeNormalization.Write(rewriter, chars, start, parts);
            rewriter.Commit();
        }
    }

    // How far characters go that no rule touches and that join with none of their neighbours.
    private int PlainPrefix(ReadOnlySpan<char> chars, int i)
    {
        var plainEnd = i;
        while (i < chars.Length && chars[i] < 0x300 && plain[chars[i]])
        {
            i++;
        }

        // The last one may join with what follows. It must also be the one that a removal is booked on.
        plainEnd = i == chars.Length ? i : Math.Max(plainEnd, i - 1);
        return plainEnd;
    }

    private static int GraphemeLength(ReadOnlySpan<char> rest) =>
        rest.Length == 1 || (rest[0] < 0x300 && rest[1] < 0x300 && rest[0] != '\r')
            ? 1
            : StringInfo.GetNextTextElementLength(rest);

    private static bool IsShort(ReadOnlySpan<char> grapheme) => grapheme.Length < 6 && Encoding.UTF8.GetByteCount(grapheme) < 6;

    // Where the replacement of the shortest known prefix begins, or -1.
    private int Find(ReadOnlySpan<char> chunk)
    {
        Span<byte> utf8 = stackalloc byte[16];
        utf8 = utf8[..Encoding.UTF8.GetBytes(chunk, utf8)];
        var node = Offset(trie[0]);
        foreach (var b in utf8)
        {
            node ^= b;
            if (b == 0 || node >= trie.Length)
            {
                return -1;
            }

            var unit = trie[node];
            if ((unit & 0x800000FF) != b)
            {
                return -1;
            }

            node ^= Offset(unit);
            if (((unit >> 8) & 1) != 0)
            {
                var value = node < trie.Length ? trie[node] & 0x7FFFFFFF : uint.MaxValue;
                return value <= replacements.Length ? (int)value : -1;
            }
        }

        return -1;

        static uint Offset(uint unit) => (unit >> 10) << (int)((unit & (1u << 9)) >> 6);
    }

    private void Replace(List<UnicodeNormalization.Part> parts, ReadOnlySpan<char> old, int at)
    {
        var end = replacements.AsSpan(at).IndexOf((byte)0);
        var replacement = Encoding.UTF8.GetString(end < 0 ? replacements.AsSpan(at) : replacements.AsSpan(at, end));
        var first = parts.Count;
        for (var i = 0; i < replacement.Length;)
        {
            parts.Add(new UnicodeNormalization.Part(CodePoints.Next(replacement, ref i), 0, 0));
        }

        var oldCount = 0;
        for (var i = 0; i < old.Length; oldCount++)
        {
            CodePoints.Next(old, ref i);
        }

        var more = parts.Count - first - oldCount;
        for (var i = parts.Count - 1; more > 0; more--, i--)
        {
            parts[i] = parts[i] with { Change = 1 };
        }

        // What is removed is booked on the character before, whatever that is; at the very start nothing books it, and the
        // alignment of what follows is off by it, as in the reference.
        if (more < 0 && parts.Count > 0)
        {
            parts[^1] = parts[^1] with { Change = parts[^1].Change + more };
        }
    }
}
