using System.Globalization;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>How often something is repeated, and whether it takes as much as it can.</summary>
/// <param name="Min">At least so often.</param>
/// <param name="Max">At most so often; -1: without limit.</param>
/// <param name="Greed">Which repetition is tried first.</param>
internal readonly record struct Quantifier(int Min, int Max, Greed Greed)
{
    private const int Most = 100_000;

    /// <summary>Reads the quantifier at the cursor; false, and nothing read, when there is none.</summary>
    /// <exception cref="FormatException">It repeats too often, or from more to less.</exception>
    public static bool TryRead(PatternCursor cursor, out Quantifier quantifier)
    {
        quantifier = default;
        var c = cursor[0];
        int min, max;
        var interval = false;
        if (c is '*' or '+' or '?')
        {
            cursor.At++;
            (min, max) = (c == '+' ? 1 : 0, c == '?' ? 1 : -1);
        }
        else if (c == '{' && TryInterval(cursor, out min, out max))
        {
            interval = true;
        }
        else
        {
            return false;
        }

        var greed = Greed.Greedy;
        if (cursor.More && cursor[0] == '?' && !(interval && min == max))
        {
            greed = Greed.Lazy;
            cursor.At++;
        }
        else if (cursor.More && cursor[0] == '+' && !interval)
        {
            // Behind an interval a plus is a repetition of the repetition.
            greed = Greed.Possessive;
            cursor.At++;
        }

        quantifier = new Quantifier(min, max, greed);
        return true;
    }

    // {n}, {n,}, {,m}, {n,m}; anything else is literal.
    private static bool TryInterval(PatternCursor cursor, out int min, out int max)
    {
        min = max = 0;
        var i = cursor.At + 1;
        var low = Number(ref i);
        var high = low;
        if (i < cursor.Text.Length && cursor.Text[i] == ',')
        {
            i++;
            high = Number(ref i) ?? -1;
            if (low is null && high < 0)
            {
                return false;
            }
        }

        if (i >= cursor.Text.Length || cursor.Text[i] != '}' || (low is null && high is null))
        {
            return false;
        }

        min = low ?? 0;
        max = high ?? min;
        if (min > Most || max > Most)
        {
            throw cursor.Bad("a repetition of more than 100,000");
        }

        if (max >= 0 && min > max)
        {
            throw cursor.Bad("a repetition from more to less");
        }

        cursor.At = i + 1;
        return true;

        int? Number(ref int i)
        {
            var start = i;
            while (i < cursor.Text.Length && char.IsAsciiDigit(cursor.Text[i]))
            {
                i++;
            }

            return i == start ? null : int.TryParse(cursor.Text.AsSpan(start, i - start), CultureInfo.InvariantCulture, out var n) ? n : int.MaxValue;
        }
    }
}
