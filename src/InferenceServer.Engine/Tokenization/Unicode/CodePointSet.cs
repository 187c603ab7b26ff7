using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>A set of code points for fast look-up: 256 bits a block, blocks without or with all code points stored once. Immutable.</summary>
internal sealed class CodePointSet
{
    private const int Words = CodePointRanges.Limit / 64;

    private readonly ushort[] blockOf = new ushort[Words / 4];
    private readonly ulong[] bits;

    /// <summary>The set of <paramref name="ranges"/>.</summary>
    public CodePointSet(CodePointRanges ranges)
    {
        Ranges = ranges;
        var flat = new ulong[Words];
        var bounds = ranges.Bounds;
        for (var i = 0; i < bounds.Length; i += 2)
        {
            int first = bounds[i] >> 6, last = bounds[i + 1] >> 6;
            var head = ~0ul << bounds[i];
            var tail = ~0ul >> (63 - (bounds[i + 1] & 63));
            if (first == last)
            {
                flat[first] |= head & tail;
                continue;
            }

            flat[first] |= head;
            flat.AsSpan(first + 1, last - first - 1).Fill(~0ul);
            flat[last] |= tail;
        }

        var pool = new List<ulong> { 0, 0, 0, 0, ~0ul, ~0ul, ~0ul, ~0ul };
        for (var block = 0; block < blockOf.Length; block++)
        {
            var words = flat.AsSpan(block * 4, 4);
            if (!words.ContainsAnyExcept(0ul))
            {
                continue;
            }

            if (!words.ContainsAnyExcept(~0ul))
            {
                blockOf[block] = 1;
                continue;
            }

            blockOf[block] = (ushort)(pool.Count / 4);
            pool.AddRange(words);
        }

        bits = [.. pool];
    }

    /// <summary>The same set as ranges.</summary>
    public CodePointRanges Ranges { get; }

    /// <summary>Whether the set holds <paramref name="codePoint"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Contains(int codePoint) => ((bits[(blockOf[codePoint >> 8] << 2) + ((codePoint >> 6) & 3)] >> codePoint) & 1) != 0;
}
