using System.Globalization;
using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>
/// Reads what stands for one character in a regular expression: escapes of a character, classes such as <c>\w</c> and <c>\p{L}</c>, and sets in
/// brackets with all that may stand in them.
/// </summary>
internal sealed class CharacterClassParser(PatternCursor cursor)
{
    /// <summary><c>\w \d \s \h \p{..}</c> and their opposites, at a backslash; null, and nothing read, when it is something else.</summary>
    public CodePointSet? TryClass(bool inBrackets = false)
    {
        var c = cursor[1];
        var set = c switch
        {
            'w' or 'W' => inBrackets ? UnicodeProperties.BracketWord : UnicodeProperties.Word,
            'd' or 'D' => UnicodeProperties.Digit,
            's' or 'S' => UnicodeProperties.Space,
            'h' or 'H' => UnicodeProperties.Find("xdigit"),
            _ => null,
        };
        if (set is not null)
        {
            cursor.At += 2;
            return char.IsAsciiLetterUpper(c) ? new CodePointSet(set.Ranges.Complement()) : set;
        }

        if (c is not ('p' or 'P') || !cursor.Has(2) || cursor[2] != '{')
        {
            return null;
        }

        cursor.At += 3;
        var negative = cursor.Take("^") != (c == 'P');
        var name = cursor.Until('}');
        set = UnicodeProperties.Find(name);
        set = (inBrackets && set == UnicodeProperties.Word ? UnicodeProperties.BracketWord : set) ?? throw cursor.Unsupported($"the property '\\p{{{name}}}'");
        return negative ? new CodePointSet(set.Ranges.Complement()) : set;
    }

    /// <summary>The code point that a backslash and what follows it stand for.</summary>
    public int ParseCharacter()
    {
        cursor.At++;
        var c = cursor.Next();
        switch (c)
        {
            case 't':
                return '\t';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 'f':
                return '\f';
            case 'v':
                return '\v';
            case 'a':
                return '\a';
            case 'e':
                return 0x1B;
            case 'x':
                if (cursor.Take("{"))
                {
                    return Hex(cursor.Until('}'));
                }

                return Digits(16, 2) is var (value, any) && any ? value : 0;
            case 'u':
                if (cursor.At + 4 > cursor.Text.Length)
                {
                    throw cursor.Bad("'\\u' without four digits");
                }

                cursor.At += 4;
                return Hex(cursor.Text[(cursor.At - 4)..cursor.At]);
            case 'o' when cursor.Take("{"):
                var octal = Digits(8, 7);
                return octal is { Any: true, Value: < CodePointRanges.Limit } && cursor.Take("}") ? octal.Value : throw cursor.Bad("'\\o{' without octal digits and '}'");
            case >= '0' and <= '7':
                cursor.At--;
                return Digits(8, 3).Value & 0xFF;
            case 'c' or 'C' or 'M':
                throw cursor.Unsupported($"'\\{(char)c}'");
            default:
                return c;
        }

        int Hex(string digits)
        {
            var value = int.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var parsed) ? parsed : -1;
            return value is >= 0 and < CodePointRanges.Limit ? value : throw cursor.Bad($"the code point '{digits}'");
        }

        (int Value, bool Any) Digits(int radix, int most)
        {
            var value = 0;
            var count = 0;
            while (count < most && cursor.More && (radix == 16 ? char.IsAsciiHexDigit(cursor[0]) : cursor[0] is >= '0' and <= '7'))
            {
                value = (value * radix) + Convert.ToInt32(cursor.Text[cursor.At++].ToString(), 16);
                count++;
            }

            return (value, count > 0);
        }
    }

    /// <summary>A set in brackets, from behind its <c>[</c>.</summary>
    public CodePointRanges ParseBrackets(bool ignoreCase)
    {
        cursor.Enter("brackets");
        var start = cursor.At;
        var negative = cursor.Take("^");
        var ranges = new List<(int, int)>();
        var sets = CodePointRanges.Empty;
        CodePointRanges? meet = null;
        var first = true;
        while (true)
        {
            if (!cursor.More)
            {
                cursor.At = start;
                throw cursor.Bad("unmatched '['");
            }

            if (cursor[0] == ']' && !(first && cursor.Text.IndexOf(']', cursor.At + 1) >= 0))
            {
                cursor.At++;
                break;
            }

            first = false;
            if (cursor.Take("[:"))
            {
                var end = cursor.Text.IndexOf(":]", cursor.At, StringComparison.Ordinal);
                var inverse = end > cursor.At && cursor[0] == '^';
                if (end >= 0 && UnicodeProperties.FindPosix(cursor.Text[(cursor.At + (inverse ? 1 : 0))..end]) is { } posix)
                {
                    cursor.At = end + 2;
                    sets = sets.Union(inverse ? posix.Ranges.Complement() : posix.Ranges);
                    continue;
                }

                if (end >= 0 && cursor.Text.AsSpan(cursor.At, end - cursor.At).IndexOfAny(']', '[') < 0 && end - cursor.At < 20)
                {
                    throw cursor.Unsupported($"the class '[:{cursor.Text[cursor.At..end]}:]'");
                }

                cursor.At -= 2;
            }

            if (cursor.Take("["))
            {
                sets = sets.Union(ParseBrackets(ignoreCase));
                continue;
            }

            if (cursor.Take("&&"))
            {
                meet = Meet();
                ranges.Clear();
                sets = CodePointRanges.Empty;
                continue;
            }

            if (cursor[0] == '\\' && cursor.Has(1) && TryClass(inBrackets: true) is { } escape)
            {
                sets = sets.Union(escape.Ranges);
                continue;
            }

            var low = ClassCharacter();
            if (cursor.Has(1) && cursor[0] == '-' && cursor[1] != ']')
            {
                var dash = cursor.At++;
                if (cursor[0] == '[' || (cursor[0] == '\\' && cursor.Has(1) && cursor[1] is 'w' or 'W' or 'd' or 'D' or 's' or 'S' or 'h' or 'H' or 'p' or 'P'))
                {
                    ranges.Add((low, low)); // no range: the dash stands for itself
                    ranges.Add(('-', '-'));
                    continue;
                }

                var high = ClassCharacter();
                if (high < low)
                {
                    cursor.At = dash;
                    throw cursor.Bad("an empty range");
                }

                ranges.Add((low, high));
                continue;
            }

            ranges.Add((low, low));
        }

        cursor.Leave();
        var all = Meet();
        if (ignoreCase)
        {
            all = CaseMapping.Close(all);
        }

        return negative ? all.Complement() : all;

        CodePointRanges Meet()
        {
            var own = sets.Union(CodePointRanges.FromUnsorted(ranges));
            return meet is null ? own : meet.Intersect(own);
        }

        int ClassCharacter()
        {
            if (cursor[0] != '\\')
            {
                return cursor.Next();
            }

            if (!cursor.Has(1))
            {
                throw cursor.Bad("a backslash at the end");
            }

            if (cursor[1] == 'b')
            {
                cursor.At += 2;
                return '\b';
            }

            return cursor[1] is 'R' or 'X' or 'N' or 'O' ? throw cursor.Unsupported($"'\\{cursor[1]}' in brackets") : ParseCharacter();
        }
    }
}
