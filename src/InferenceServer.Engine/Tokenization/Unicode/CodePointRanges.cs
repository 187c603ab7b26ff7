namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>A set of code points as sorted, disjoint ranges, for the arithmetic of character classes. Immutable.</summary>
internal sealed class CodePointRanges
{
    /// <summary>One past the last code point.</summary>
    public const int Limit = 0x110000;

    private readonly int[] bounds; // first, last, first, last, ...

    private CodePointRanges(int[] bounds) => this.bounds = bounds;

    /// <summary>No code point.</summary>
    public static CodePointRanges Empty { get; } = new([]);

    /// <summary>Every code point.</summary>
    public static CodePointRanges All { get; } = new([0, Limit - 1]);

    /// <summary>Pairs of first and last code point.</summary>
    public ReadOnlySpan<int> Bounds => bounds;

    /// <summary>True for the empty set.</summary>
    public bool IsEmpty => bounds.Length == 0;

    /// <summary>Takes over pairs that are sorted and disjoint.</summary>
    public static CodePointRanges FromSorted(int[] bounds) => new(bounds);

    /// <summary>One range.</summary>
    public static CodePointRanges Of(int first, int last) => new([first, last]);

    /// <summary>One code point.</summary>
    public static CodePointRanges Of(int codePoint) => Of(codePoint, codePoint);

    /// <summary>Any ranges, in any order.</summary>
    public static CodePointRanges FromUnsorted(List<(int First, int Last)> ranges)
    {
        ranges.Sort();
        var result = new List<int>(ranges.Count * 2);
        foreach (var (first, last) in ranges)
        {
            if (result.Count > 0 && first <= result[^1] + 1)
            {
                result[^1] = Math.Max(result[^1], last);
            }
            else
            {
                result.Add(first);
                result.Add(last);
            }
        }

        return new([.. result]);
    }

    /// <summary>What is in either set.</summary>
    public CodePointRanges Union(CodePointRanges other)
    {
        if (IsEmpty || other.IsEmpty)
        {
            return IsEmpty ? other : this;
        }

        var ranges = new List<(int, int)>((bounds.Length + other.bounds.Length) / 2);
        for (var i = 0; i < bounds.Length; i += 2)
        {
            ranges.Add((bounds[i], bounds[i + 1]));
        }

        for (var i = 0; i < other.bounds.Length; i += 2)
        {
            ranges.Add((other.bounds[i], other.bounds[i + 1]));
        }

        return FromUnsorted(ranges);
    }

    /// <summary>What is not in the set.</summary>
    public CodePointRanges Complement()
    {
        var result = new List<int>(bounds.Length + 2);
        var at = 0;
        for (var i = 0; i < bounds.Length; i += 2)
        {
            if (bounds[i] > at)
            {
                result.Add(at);
                result.Add(bounds[i] - 1);
            }

            at = bounds[i + 1] + 1;
        }

        if (at < Limit)
        {
            result.Add(at);
            result.Add(Limit - 1);
        }

        return new([.. result]);
    }

    /// <summary>What is in both sets.</summary>
    public CodePointRanges Intersect(CodePointRanges other) => Complement().Union(other.Complement()).Complement();

    /// <summary>Whether the set holds <paramref name="codePoint"/>; by halving.</summary>
    public bool Contains(int codePoint)
    {
        int low = 0, high = (bounds.Length / 2) - 1;
        while (low <= high)
        {
            var middle = (low + high) / 2;
            if (codePoint < bounds[middle * 2])
            {
                high = middle - 1;
            }
            else if (codePoint > bounds[(middle * 2) + 1])
            {
                low = middle + 1;
            }
            else
            {
                return true;
            }
        }

        return false;
    }
}
