using InferenceServer.Engine.Tokenization.PreTokenizers;

namespace InferenceServer.Engine.Tokenization;

/// <summary>How many spaces (byte-level <c>Ġ</c> or white space) tokens begin and end with: what trim_offsets takes off.</summary>
internal sealed class SpaceCounts(Func<int, string?> token)
{
    // Counts of the ids met so far, in one word each: leading in the low half, trailing in the high half; 0 = not yet known.
    private uint[] known = new uint[1024];

    /// <summary>The counts of a token of the vocabulary.</summary>
    public (int Leading, int Trailing) Of(int id)
    {
        var table = Volatile.Read(ref known);
        if ((uint)id < (uint)table.Length && table[id] is not 0 and var packed)
        {
            packed--;
            return ((int)(packed & 0xFFFF), (int)(packed >> 16));
        }

        var counts = Count(token(id) ?? "");
        if (id is >= 0 and < 1 << 20 && counts.Leading < 0xFFFF && counts.Trailing < 0x7FFF)
        {
            if (id >= table.Length)
            {
                // Two threads may grow it at once: one table is lost, its counts are found again.
                var grown = new uint[Math.Max(id + 1, table.Length * 2)];
                table.CopyTo(grown, 0);
                table = grown;
                Volatile.Write(ref known, grown);
            }

            table[id] = (((uint)counts.Trailing << 16) | (uint)counts.Leading) + 1;
        }

        return counts;
    }

    /// <summary>The counts of a text, in code points.</summary>
    public static (int Leading, int Trailing) Count(ReadOnlySpan<char> text)
    {
        var leading = 0;
        while (leading < text.Length && IsSpace(text[leading]))
        {
            leading++;
        }

        var trailing = 0;
        while (trailing < text.Length && IsSpace(text[^(trailing + 1)]))
        {
            trailing++;
        }

        return (leading, trailing);
    }

    private static bool IsSpace(char c) => c == ByteSymbols.Symbol((byte)' ') || char.IsWhiteSpace(c);
}
