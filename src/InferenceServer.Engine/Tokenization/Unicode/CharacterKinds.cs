using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>What the patterns of byte-level models tell apart: <c>\p{L}</c>, <c>\p{N}</c>, <c>\s</c> and the rest, of Unicode 16.</summary>
internal static class CharacterKinds
{
    /// <summary>Neither letter nor number nor white space.</summary>
    public const byte Other = 0;

    /// <summary><c>\p{L}</c></summary>
    public const byte Letter = 1;

    /// <summary><c>\p{N}</c></summary>
    public const byte Number = 2;

    /// <summary><c>\s</c></summary>
    public const byte Space = 3;

    /// <summary>The kinds of all UTF-16 units, for scanners that keep the table at hand. Not to be written to.</summary>
    public static byte[] BasicPlane { get; } = MakeBasicPlane();

    /// <summary>The kind of the character at <paramref name="at"/>, a surrogate pair or one unit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte At(ReadOnlySpan<char> text, int at)
    {
        var c = text[at];
        return (c & 0xFC00) == 0xD800 && at + 1 < text.Length ? OfSupplementary(CodePoints.Next(text, ref at)) : BasicPlane[c];
    }

    /// <summary>Where the run of <paramref name="kind"/> that may begin at <paramref name="at"/> ends, after <paramref name="most"/> characters at the latest.</summary>
    public static int EndOfRun(ReadOnlySpan<char> text, int at, byte kind, int most = int.MaxValue)
    {
        for (; most > 0 && at < text.Length && At(text, at) == kind; most--)
        {
            at += (text[at] & 0xFC00) == 0xD800 && at + 1 < text.Length ? 2 : 1;
        }

        return at;
    }

    /// <summary>The kind of a supplementary character.</summary>
    public static byte OfSupplementary(int c) => UnicodeProperties.Find("l")!.Contains(c) ? Letter : UnicodeProperties.Find("n")!.Contains(c) ? Number : Other;

    private static byte[] MakeBasicPlane()
    {
        var kinds = new byte[0x10000];
        Mark("l", Letter);
        Mark("n", Number);
        Mark("whitespace", Space);
        return kinds;

        void Mark(string name, byte kind)
        {
            var bounds = UnicodeProperties.Find(name)!.Ranges.Bounds;
            for (var i = 0; i < bounds.Length && bounds[i] < kinds.Length; i += 2)
            {
                kinds.AsSpan(bounds[i]..(Math.Min(bounds[i + 1], 0xFFFF) + 1)).Fill(kind);
            }
        }
    }
}
