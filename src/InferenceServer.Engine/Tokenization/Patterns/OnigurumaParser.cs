using System.Globalization;
using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>
/// Reads a regular expression in the syntax of Oniguruma (the engine of the reference; its document "RE", version 6.9).
/// What is not supported is refused by name.
/// </summary>
internal sealed class OnigurumaParser
{
    private const int MaxDepth = 60;
    private static readonly CodePointSet Newline = new(CodePointRanges.Of('\n'));
    private static readonly CodePointSet NotNewline = new(CodePointRanges.Of('\n').Complement());
    private static readonly CodePointSet Any = new(CodePointRanges.All);

    private readonly string pattern;
    private readonly bool namedOnly;
    private readonly Dictionary<string, int> names = new(StringComparer.Ordinal);
    private int at;
    private int depth;
    private int groups;
    private bool ignoreCase;
    private bool dotAll;
    private bool extended;

    private OnigurumaParser(string pattern)
    {
        this.pattern = pattern;
        namedOnly = HasNamedGroup(pattern);
    }

    /// <summary>Parses <paramref name="pattern"/>; <paramref name="groups"/> is the number of capturing groups.</summary>
    /// <exception cref="FormatException">The pattern is damaged, or uses what is not supported; the message says what and where.</exception>
    public static RegexNode Parse(string pattern, out int groups)
    {
        var parser = new OnigurumaParser(pattern);
        var node = parser.ParseAlternation();
        if (parser.at < pattern.Length)
        {
            throw parser.Bad("unmatched ')'");
        }

        groups = parser.groups;
        return node;
    }

    private bool More => at < pattern.Length;

    private RegexNode ParseAlternation()
    {
        if (++depth > MaxDepth)
        {
            throw Bad($"groups nested deeper than {MaxDepth}");
        }

        var (savedCase, savedDot, savedExtended) = (ignoreCase, dotAll, extended);
        var choices = new List<RegexNode>();
        var items = new List<RegexNode>();
        while (true)
        {
            if (!More || pattern[at] == ')')
            {
                choices.Add(Joined(items));
                break;
            }

            if (pattern[at] == '|')
            {
                at++;
                choices.Add(Joined(items));
                items = [];
                continue;
            }

            if (extended && SkipBlank())
            {
                continue;
            }

            if (ParseItem() is { } item)
            {
                items.Add(ParseQuantifiers(item));
            }
        }

        (ignoreCase, dotAll, extended) = (savedCase, savedDot, savedExtended);
        depth--;
        return choices.Count == 1 ? choices[0] : new RegexNode.Alternation(choices);

        RegexNode Joined(List<RegexNode> items)
        {
            // Without case, one character can stand for two that a pattern names side by side: ß for ss, ﬁ for fi.
            for (var i = 1; i < items.Count; i++)
            {
                if (items[i - 1] is RegexNode.OneOf { Folded: >= 0 } first && items[i] is RegexNode.OneOf { Folded: >= 0 } second
                    && (first.Folded, second.Folded) is ('s', 's' or 't') or ('f', 'f' or 'i' or 'l'))
                {
                    throw Unsupported($"'{(char)first.Folded}{(char)second.Folded}' without regard to case");
                }
            }

            return items.Count == 1 ? items[0] : new RegexNode.Sequence(items);
        }
    }

    private bool SkipBlank()
    {
        if (char.IsWhiteSpace(pattern[at]))
        {
            at++;
            return true;
        }

        if (pattern[at] != '#')
        {
            return false;
        }

        while (More && pattern[at] != '\n')
        {
            at++;
        }

        return true;
    }

    // Null: something that matches nothing by itself (a comment, a switch for what follows).
    private RegexNode? ParseItem()
    {
        switch (pattern[at])
        {
            case '(':
                return ParseGroup();
            case '[':
                at++;
                return new RegexNode.OneOf(new CodePointSet(ParseClass()));
            case '.':
                at++;
                return new RegexNode.OneOf(dotAll ? Any : NotNewline);
            case '^':
                at++;
                return new RegexNode.At(Anchor.LineStart);
            case '$':
                at++;
                return new RegexNode.At(Anchor.LineEnd);
            case '\\':
                return ParseEscape();
            case '*' or '+' or '?':
                throw Bad("nothing to repeat");
            default:
                return Literal(CodePoints.Next(pattern, ref at));
        }
    }

    private RegexNode.OneOf Literal(int c)
    {
        if (!ignoreCase)
        {
            return new(new CodePointSet(CodePointRanges.Of(c)));
        }

        if (CaseMapping.FoldsToSeveral(c))
        {
            throw Unsupported($"'{char.ConvertFromUtf32(c)}' without regard to case");
        }

        return new(new CodePointSet(CodePointRanges.FromUnsorted([.. CaseMapping.Equivalents(c).Select(static e => (e, e))])), CaseMapping.Fold(c));
    }

    private RegexNode ParseQuantifiers(RegexNode item)
    {
        while (More)
        {
            if (extended && SkipBlank())
            {
                continue;
            }

            var c = pattern[at];
            int min, max;
            var interval = false;
            var start = at;
            if (c is '*' or '+' or '?')
            {
                at++;
                (min, max) = (c == '+' ? 1 : 0, c == '?' ? 1 : -1);
            }
            else if (c == '{' && TryInterval(out min, out max))
            {
                interval = true;
            }
            else
            {
                at = start;
                return item;
            }

            var greed = Greed.Greedy;
            if (More && pattern[at] == '?' && !(interval && min == max))
            {
                greed = Greed.Lazy;
                at++;
            }
            else if (More && pattern[at] == '+' && !interval)
            {
                // Behind an interval a plus is a repetition of the repetition.
                greed = Greed.Possessive;
                at++;
            }

            if (item is RegexNode.At or RegexNode.Look)
            {
                item = min == 0 ? RegexNode.Empty : item; // a condition holds once or not at all
                continue;
            }

            item = new RegexNode.Repeat(item, min, max, greed);
        }

        return item;
    }

    // {n}, {n,}, {,m}, {n,m}; anything else is literal.
    private bool TryInterval(out int min, out int max)
    {
        min = max = 0;
        var i = at + 1;
        var low = Number(ref i);
        var high = low;
        if (i < pattern.Length && pattern[i] == ',')
        {
            i++;
            high = Number(ref i) ?? -1;
            if (low is null && high < 0)
            {
                return false;
            }
        }

        if (i >= pattern.Length || pattern[i] != '}' || (low is null && high is null))
        {
            return false;
        }

        min = low ?? 0;
        max = high ?? min;
        if (min > 100_000 || max > 100_000)
        {
            throw Bad("a repetition of more than 100,000");
        }

        if (max >= 0 && min > max)
        {
            throw Bad("a repetition from more to less");
        }

        at = i + 1;
        return true;

        int? Number(ref int i)
        {
            var start = i;
            while (i < pattern.Length && char.IsAsciiDigit(pattern[i]))
            {
                i++;
            }

            return i == start ? null : int.TryParse(pattern.AsSpan(start, i - start), CultureInfo.InvariantCulture, out var n) ? n : int.MaxValue;
        }
    }

    private RegexNode? ParseGroup()
    {
        var start = at++;
        if (!More)
        {
            throw Bad("unmatched '('");
        }

        if (pattern[at] == '*')
        {
            throw Unsupported("a callout '(*'");
        }

        if (pattern[at] != '?')
        {
            if (namedOnly)
            {
                return Closed(start, ParseAlternation());
            }

            var number = ++groups;
            return new RegexNode.Capture(Closed(start, ParseAlternation()), number);
        }

        at++;
        if (Take("#"))
        {
            var end = pattern.IndexOf(')', at);
            at = end < 0 ? throw Bad("a comment without end") : end + 1;
            return null;
        }

        if (Take(":"))
        {
            return Closed(start, ParseAlternation());
        }

        if (Take("="))
        {
            return new RegexNode.Look(Closed(start, ParseAlternation()), Behind: false, Negative: false);
        }

        if (Take("!"))
        {
            return new RegexNode.Look(Closed(start, ParseAlternation()), Behind: false, Negative: true);
        }

        if (Take(">"))
        {
            return new RegexNode.Atomic(Closed(start, ParseAlternation()));
        }

        if (Take("<=") || Take("<!"))
        {
            var negative = pattern[at - 1] == '!';
            var body = Closed(start, ParseAlternation());
            if (body.Lengths() is null)
            {
                throw Unsupported("a look-behind without a fixed length");
            }

            return new RegexNode.Look(body, Behind: true, negative);
        }

        if (Take("<") || Take("'"))
        {
            var name = Until(pattern[at - 1] == '<' ? '>' : '\'');
            var number = ++groups;
            names[name] = number;
            return new RegexNode.Capture(Closed(start, ParseAlternation()), number);
        }

        return ParseSwitches(start);
    }

    private RegexNode? ParseSwitches(int start)
    {
        var (newCase, newDot, newExtended) = (ignoreCase, dotAll, extended);
        var on = true;
        for (; ; at++)
        {
            if (!More)
            {
                throw Bad("unmatched '('");
            }

            switch (pattern[at])
            {
                case '-':
                    on = false;
                    continue;
                case 'i':
                    newCase = on;
                    continue;
                case 'm':
                    newDot = on;
                    continue;
                case 'x':
                    newExtended = on;
                    continue;
                case ')':
                    // For the rest of the group around it, all alternatives included.
                    at++;
                    (ignoreCase, dotAll, extended) = (newCase, newDot, newExtended);
                    if (pattern.AsSpan(at).Contains('|'))
                    {
                        // Oniguruma takes what follows, with its alternatives, as one group.
                        return ParseAlternation();
                    }

                    return null;
                case ':':
                    at++;
                    var saved = (ignoreCase, dotAll, extended);
                    (ignoreCase, dotAll, extended) = (newCase, newDot, newExtended);
                    var body = Closed(start, ParseAlternation());
                    (ignoreCase, dotAll, extended) = saved;
                    return body;
                default:
                    throw Unsupported($"the group '(?{pattern[at]}'");
            }
        }
    }

    private RegexNode Closed(int start, RegexNode body)
    {
        if (!More)
        {
            at = start;
            throw Bad("unmatched '('");
        }

        at++;
        return body;
    }

    private RegexNode ParseEscape()
    {
        if (at + 1 >= pattern.Length)
        {
            throw Bad("a backslash at the end");
        }

        var c = pattern[at + 1];
        switch (c)
        {
            case 'A':
                return Anchored(Anchor.TextStart);
            case 'z':
                return Anchored(Anchor.TextEnd);
            case 'Z':
                return Anchored(Anchor.TextEndOrLastNewline);
            case 'b':
                return Anchored(Anchor.WordBoundary);
            case 'B':
                return Anchored(Anchor.NotWordBoundary);
            case 'G':
                return Anchored(Anchor.SearchStart);
            case 'N':
                at += 2;
                return new RegexNode.OneOf(NotNewline);
            case 'O':
                at += 2;
                return new RegexNode.OneOf(Any);
            case 'R':
                at += 2;
                return new RegexNode.Atomic(new RegexNode.Alternation([
                    new RegexNode.Sequence([new RegexNode.OneOf(new CodePointSet(CodePointRanges.Of('\r'))), new RegexNode.OneOf(Newline)]),
                    new RegexNode.OneOf(new CodePointSet(CodePointRanges.FromUnsorted([(10, 13), (0x85, 0x85), (0x2028, 0x2029)]))),
                ]));
            case 'X' or 'K' or 'y' or 'Y' or 'g':
                throw Unsupported($"'\\{c}'");
            case 'k':
                at += 2;
                var name = Take("<") || Take("'") ? Until(pattern[at - 1] == '<' ? '>' : '\'') : throw Bad("'\\k' without a name");
                return names.TryGetValue(name, out var named) ? new RegexNode.Back(named, ignoreCase)
                    : int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var numbered) ? Reference(numbered)
                    : throw Bad($"no group of the name '{name}'");
            case >= '1' and <= '9':
                var end = at + 1;
                while (end < pattern.Length && char.IsAsciiDigit(pattern[end]))
                {
                    end++;
                }

                var digits = pattern.AsSpan(at + 1, end - at - 1);
                if (int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && (number <= groups || number <= 9))
                {
                    at = end;
                    return Reference(number);
                }

                break;
        }

        if (TryClassEscape() is { } set)
        {
            return new RegexNode.OneOf(set);
        }

        return Literal(ParseCharacterEscape());

        RegexNode.At Anchored(Anchor anchor)
        {
            at += 2;
            return new RegexNode.At(anchor);
        }

        RegexNode.Back Reference(int group) =>
            group >= 1 && group <= groups ? new RegexNode.Back(group, ignoreCase) : throw Bad($"no group {group}");
    }

    // \w \d \s \h \p{..} and their opposites, at a backslash; null when it is something else.
    private CodePointSet? TryClassEscape(bool inBrackets = false)
    {
        var c = pattern[at + 1];
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
            at += 2;
            return char.IsAsciiLetterUpper(c) ? new CodePointSet(set.Ranges.Complement()) : set;
        }

        if (c is not ('p' or 'P') || at + 2 >= pattern.Length || pattern[at + 2] != '{')
        {
            return null;
        }

        at += 3;
        var negative = Take("^") != (c == 'P');
        var name = Until('}');
        set = UnicodeProperties.Find(name);
        set = (inBrackets && set == UnicodeProperties.Word ? UnicodeProperties.BracketWord : set) ?? throw Unsupported($"the property '\\p{{{name}}}'");
        return negative ? new CodePointSet(set.Ranges.Complement()) : set;
    }

    // A backslash and what stands for one character.
    private int ParseCharacterEscape()
    {
        at++;
        var c = CodePoints.Next(pattern, ref at);
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
                if (Take("{"))
                {
                    return Hex(Until('}'));
                }

                return Digits(16, 2) is var (value, any) && any ? value : 0;
            case 'u':
                if (at + 4 > pattern.Length)
                {
                    throw Bad("'\\u' without four digits");
                }

                at += 4;
                return Hex(pattern[(at - 4)..at]);
            case 'o' when Take("{"):
                var octal = Digits(8, 7);
                return octal is { Any: true, Value: < CodePointRanges.Limit } && Take("}") ? octal.Value : throw Bad("'\\o{' without octal digits and '}'");
            case >= '0' and <= '7':
                at--;
                return Digits(8, 3).Value & 0xFF;
            case 'c' or 'C' or 'M':
                throw Unsupported($"'\\{(char)c}'");
            default:
                return c;
        }

        int Hex(string digits)
        {
            var value = int.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var parsed) ? parsed : -1;
            return value is >= 0 and < CodePointRanges.Limit ? value : throw Bad($"the code point '{digits}'");
        }

        (int Value, bool Any) Digits(int radix, int most)
        {
            var value = 0;
            var count = 0;
            while (count < most && More && (radix == 16 ? char.IsAsciiHexDigit(pattern[at]) : pattern[at] is >= '0' and <= '7'))
            {
                value = (value * radix) + Convert.ToInt32(pattern[at++].ToString(), 16);
                count++;
            }

            return (value, count > 0);
        }
    }

    // Behind '['.
    private CodePointRanges ParseClass()
    {
        if (++depth > MaxDepth)
        {
            throw Bad($"brackets nested deeper than {MaxDepth}");
        }

        var start = at;
        var negative = Take("^");
        var ranges = new List<(int, int)>();
        var sets = CodePointRanges.Empty;
        CodePointRanges? meet = null;
        var first = true;
        while (true)
        {
            if (!More)
            {
                at = start;
                throw Bad("unmatched '['");
            }

            if (pattern[at] == ']' && !(first && pattern.IndexOf(']', at + 1) >= 0))
            {
                at++;
                break;
            }

            first = false;
            if (Take("[:"))
            {
                var end = pattern.IndexOf(":]", at, StringComparison.Ordinal);
                var inverse = end > at && pattern[at] == '^';
                if (end >= 0 && UnicodeProperties.FindPosix(pattern[(at + (inverse ? 1 : 0))..end]) is { } posix)
                {
                    at = end + 2;
                    sets = sets.Union(inverse ? posix.Ranges.Complement() : posix.Ranges);
                    continue;
                }

                if (end >= 0 && pattern.AsSpan(at, end - at).IndexOfAny(']', '[') < 0 && end - at < 20)
                {
                    throw Unsupported($"the class '[:{pattern[at..end]}:]'");
                }

                at -= 2;
            }

            if (Take("["))
            {
                sets = sets.Union(ParseClass());
                continue;
            }

            if (Take("&&"))
            {
                meet = Meet();
                ranges.Clear();
                sets = CodePointRanges.Empty;
                continue;
            }

            if (pattern[at] == '\\' && at + 1 < pattern.Length && TryClassEscape(inBrackets: true) is { } escape)
            {
                sets = sets.Union(escape.Ranges);
                continue;
            }

            var low = ClassCharacter();
            if (at + 1 < pattern.Length && pattern[at] == '-' && pattern[at + 1] != ']')
            {
                var dash = at++;
                if (pattern[at] == '[' || (pattern[at] == '\\' && at + 1 < pattern.Length && pattern[at + 1] is 'w' or 'W' or 'd' or 'D' or 's' or 'S' or 'h' or 'H' or 'p' or 'P'))
                {
                    ranges.Add((low, low)); // no range: the dash stands for itself
                    ranges.Add(('-', '-'));
                    continue;
                }

                var high = ClassCharacter();
                if (high < low)
                {
                    at = dash;
                    throw Bad("an empty range");
                }

                ranges.Add((low, high));
                continue;
            }

            ranges.Add((low, low));
        }

        depth--;
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
            if (pattern[at] != '\\')
            {
                return CodePoints.Next(pattern, ref at);
            }

            if (at + 1 >= pattern.Length)
            {
                throw Bad("a backslash at the end");
            }

            if (pattern[at + 1] == 'b')
            {
                at += 2;
                return '\b';
            }

            return pattern[at + 1] is 'R' or 'X' or 'N' or 'O' ? throw Unsupported($"'\\{pattern[at + 1]}' in brackets") : ParseCharacterEscape();
        }
    }

    private bool Take(string text)
    {
        if (string.CompareOrdinal(pattern, at, text, 0, text.Length) != 0)
        {
            return false;
        }

        at += text.Length;
        return true;
    }

    private string Until(char close)
    {
        var end = pattern.IndexOf(close, at);
        if (end < 0)
        {
            throw Bad($"no '{close}'");
        }

        var text = pattern[at..end];
        at = end + 1;
        return text;
    }

    private static bool HasNamedGroup(string pattern)
    {
        for (var i = 0; i + 3 < pattern.Length; i++)
        {
            if (pattern[i] == '\\')
            {
                i++;
            }
            else if (pattern[i] == '(' && pattern[i + 1] == '?' && (pattern[i + 2] == '\'' || (pattern[i + 2] == '<' && pattern[i + 3] is not ('=' or '!'))))
            {
                return true;
            }
        }

        return false;
    }

    private FormatException Bad(string what) => new($"is no regular expression: {what} at character {at + 1}.");

    private FormatException Unsupported(string what) => new($"uses {what} at character {at + 1}, which is not supported.");
}
