using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>Case of single characters: no context, so a final sigma never appears.</summary>
internal static class CaseMapping
{
    /// <summary>The only character whose lower case is two: U+0130 becomes i and a combining dot above.</summary>
    public const int DottedCapitalI = 0x130;

    private static readonly Lazy<CodePointMap> Lower = new(static () => CodePointMap.Read("lower"));
    private static readonly Lazy<CodePointMap> Folded = new(static () => CodePointMap.Read("fold"));
    private static readonly Lazy<ILookup<int, int>> Unfolded = new(static () => Folded.Value.Entries().ToLookup(static e => e.To, static e => e.From));

    /// <summary>The lower case of a character (Rust's <c>char::to_lowercase</c>); U+0130 gives its i, the dot is the caller's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int ToLower(int c)
    {
        if (c < 128)
        {
            return (uint)(c - 'A') <= 'Z' - 'A' ? c | 0x20 : c;
        }

        return c == DottedCapitalI ? 'i' : Lower.Value[c];
    }

    /// <summary>Whether <see cref="ToLower"/> changes the character.</summary>
    public static bool IsCased(int c) => ToLower(c) != c;

    /// <summary>Simple case folding, by which <c>(?i)</c> compares.</summary>
    public static int Fold(int c) => c < 128 ? ToLower(c) : Folded.Value[c];

    /// <summary>Whether full case folding makes several characters of one (ß to ss; CaseFolding.txt, status F).</summary>
    public static bool FoldsToSeveral(int c) => c is 0xDF or 0x130 or 0x149 or 0x1F0 or 0x390 or 0x3B0 or 0x587 or (>= 0x1E96 and <= 0x1E9A) or 0x1E9E
        or 0x1F50 or 0x1F52 or 0x1F54 or 0x1F56 or (>= 0x1F80 and <= 0x1FAF) or 0x1FB2 or 0x1FB3 or 0x1FB4 or 0x1FB6 or 0x1FB7 or 0x1FBC
        or 0x1FC2 or 0x1FC3 or 0x1FC4 or 0x1FC6 or 0x1FC7 or 0x1FCC or 0x1FD2 or 0x1FD3 or 0x1FD6 or 0x1FD7 or 0x1FE2 or 0x1FE3 or 0x1FE4 or 0x1FE6
        or 0x1FE7 or 0x1FF2 or 0x1FF3 or 0x1FF4 or 0x1FF6 or 0x1FF7 or 0x1FFC or (>= 0xFB00 and <= 0xFB06) or (>= 0xFB13 and <= 0xFB17);

    /// <summary>All characters that fold to what <paramref name="c"/> folds to, itself included.</summary>
    public static IEnumerable<int> Equivalents(int c)
    {
        var folded = Fold(c);
        return Unfolded.Value[folded].Append(folded);
    }

    /// <summary>The set with all case variants of its members.</summary>
    public static CodePointRanges Close(CodePointRanges set)
    {
        var ranges = new List<(int, int)>();
        foreach (var (from, to) in Folded.Value.Entries())
        {
            if (set.Contains(from) || set.Contains(to) || Unfolded.Value[to].Any(set.Contains))
            {
                ranges.Add((from, from));
                ranges.Add((to, to));
            }
        }

        return ranges.Count == 0 ? set : set.Union(CodePointRanges.FromUnsorted(ranges));
    }
}
