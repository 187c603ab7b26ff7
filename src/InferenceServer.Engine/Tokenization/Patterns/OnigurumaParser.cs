using System.Globalization;
using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>
/// Reads a regular expression in the syntax of Oniguruma (the engine of the reference; its document "RE", version 6.9): alternatives, groups,
/// repetitions, anchors, back references. What is not supported is refused by name.
/// </summary>
internal sealed class OnigurumaParser
{
    private static readonly CodePointSet Newline = new(CodePointRanges.Of('\n'));
    private static readonly CodePointSet NotNewline = new(CodePointRanges.Of('\n').Complement());
    private static readonly CodePointSet Any = new(CodePointRanges.All);

    private readonly PatternCursor cursor;
    private readonly CharacterClassParser classes;
    private readonly bool namedOnly;
    private readonly Dictionary<string, int> names = new(StringComparer.Ordinal);
    private int groups;
    private bool ignoreCase;
    private bool dotAll;
    private bool extended;

    private OnigurumaParser(string pattern)
    {
        cursor = new PatternCursor(pattern);
        classes = new CharacterClassParser(cursor);
        namedOnly = HasNamedGroup(pattern);
    }

    /// <summary>Parses <paramref name="pattern"/>; <paramref name="groups"/> is the number of capturing groups.</summary>
    /// <exception cref="FormatException">The pattern is damaged, or uses what is not supported; the message says what and where.</exception>
    public static RegexNode Parse(string pattern, out int groups)
    {
        var parser = new OnigurumaParser(pattern);
        var node = parser.ParseAlternation();
        if (parser.cursor.More)
        {
            throw parser.cursor.Bad("unmatched ')'");
        }

        groups = parser.groups;
        return node;
    }

    private RegexNode ParseAlternation()
    {
        cursor.Enter("groups");
        var (savedCase, savedDot, savedExtended) = (ignoreCase, dotAll, extended);
        var choices = new List<RegexNode>();
        var items = new List<RegexNode>();
        while (true)
        {
            if (!cursor.More || cursor[0] == ')')
            {
                choices.Add(Joined(items));
                break;
            }

            if (cursor[0] == '|')
            {
                cursor.At++;
                choices.Add(Joined(items));
                items = [];
                continue;
            }

            if (extended && cursor.SkipBlank())
            {
                continue;
            }

            if (ParseItem() is { } item)
            {
                items.Add(ParseQuantifiers(item));
            }
        }

        (ignoreCase, dotAll, extended) = (savedCase, savedDot, savedExtended);
        cursor.Leave();
        return choices.Count == 1 ? choices[0] : new RegexNode.Alternation(choices);

        RegexNode Joined(List<RegexNode> items)
        {
            // Without case, one character can stand for two that a pattern names side by side: ß for ss, ﬁ for fi.
            for (var i = 1; i < items.Count; i++)
            {
                if (items[i - 1] is RegexNode.OneOf { Folded: >= 0 } first && items[i] is RegexNode.OneOf { Folded: >= 0 } second
                    && (first.Folded, second.Folded) is ('s', 's' or 't') or ('f', 'f' or 'i' or 'l'))
                {
                    throw cursor.Unsupported($"'{(char)first.Folded}{(char)second.Folded}' without regard to case");
                }
            }

            return items.Count == 1 ? items[0] : new RegexNode.Sequence(items);
        }
    }

    // Null: something that matches nothing by itself (a comment, a switch for what follows).
    private RegexNode? ParseItem()
    {
        switch (cursor[0])
        {
            case '(':
                return ParseGroup();
            case '[':
                cursor.At++;
                return new RegexNode.OneOf(new CodePointSet(classes.ParseBrackets(ignoreCase)));
            case '.':
                cursor.At++;
                return new RegexNode.OneOf(dotAll ? Any : NotNewline);
            case '^':
                cursor.At++;
                return new RegexNode.At(Anchor.LineStart);
            case '$':
                cursor.At++;
                return new RegexNode.At(Anchor.LineEnd);
            case '\\':
                return ParseEscape();
            case '*' or '+' or '?':
                throw cursor.Bad("nothing to repeat");
            default:
                return Literal(cursor.Next());
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
            throw cursor.Unsupported($"'{char.ConvertFromUtf32(c)}' without regard to case");
        }

        return new(new CodePointSet(CodePointRanges.FromUnsorted([.. CaseMapping.Equivalents(c).Select(static e => (e, e))])), CaseMapping.Fold(c));
    }

    private RegexNode ParseQuantifiers(RegexNode item)
    {
        while (cursor.More)
        {
            if (extended && cursor.SkipBlank())
            {
                continue;
            }

            if (!Quantifier.TryRead(cursor, out var quantifier))
            {
                return item;
            }

            if (item is RegexNode.At or RegexNode.Look)
            {
                item = quantifier.Min == 0 ? RegexNode.Empty : item; // a condition holds once or not at all
                continue;
            }

            item = new RegexNode.Repeat(item, quantifier.Min, quantifier.Max, quantifier.Greed);
        }

        return item;
    }

    private RegexNode? ParseGroup()
    {
        var start = cursor.At++;
        if (!cursor.More)
        {
            throw cursor.Bad("unmatched '('");
        }

        if (cursor[0] == '*')
        {
            throw cursor.Unsupported("a callout '(*'");
        }

        if (cursor[0] != '?')
        {
            if (namedOnly)
            {
                return Closed(start, ParseAlternation());
            }

            var number = ++groups;
            return new RegexNode.Capture(Closed(start, ParseAlternation()), number);
        }

        cursor.At++;
        if (cursor.Take("#"))
        {
            var end = cursor.Text.IndexOf(')', cursor.At);
            cursor.At = end < 0 ? throw cursor.Bad("a comment without end") : end + 1;
            return null;
        }

        if (cursor.Take(":"))
        {
            return Closed(start, ParseAlternation());
        }

        if (cursor.Take("="))
        {
            return new RegexNode.Look(Closed(start, ParseAlternation()), Behind: false, Negative: false);
        }

        if (cursor.Take("!"))
        {
            return new RegexNode.Look(Closed(start, ParseAlternation()), Behind: false, Negative: true);
        }

        if (cursor.Take(">"))
        {
            return new RegexNode.Atomic(Closed(start, ParseAlternation()));
        }

        if (cursor.Take("<=") || cursor.Take("<!"))
        {
            var negative = cursor[-1] == '!';
            var body = Closed(start, ParseAlternation());
            if (body.Lengths() is null)
            {
                throw cursor.Unsupported("a look-behind without a fixed length");
            }

            return new RegexNode.Look(body, Behind: true, negative);
        }

        if (cursor.Take("<") || cursor.Take("'"))
        {
            var name = cursor.Until(cursor[-1] == '<' ? '>' : '\'');
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
        for (; ; cursor.At++)
        {
            if (!cursor.More)
            {
                throw cursor.Bad("unmatched '('");
            }

            switch (cursor[0])
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
                    cursor.At++;
                    (ignoreCase, dotAll, extended) = (newCase, newDot, newExtended);
                    if (cursor.Text.AsSpan(cursor.At).Contains('|'))
                    {
                        // Oniguruma takes what follows, with its alternatives, as one group.
                        return ParseAlternation();
                    }

                    return null;
                case ':':
                    cursor.At++;
                    var saved = (ignoreCase, dotAll, extended);
                    (ignoreCase, dotAll, extended) = (newCase, newDot, newExtended);
                    var body = Closed(start, ParseAlternation());
                    (ignoreCase, dotAll, extended) = saved;
                    return body;
                default:
                    throw cursor.Unsupported($"the group '(?{cursor[0]}'");
            }
        }
    }

    private RegexNode Closed(int start, RegexNode body)
    {
        if (!cursor.More)
        {
            cursor.At = start;
            throw cursor.Bad("unmatched '('");
        }

        cursor.At++;
        return body;
    }

    private RegexNode ParseEscape()
    {
        if (!cursor.Has(1))
        {
            throw cursor.Bad("a backslash at the end");
        }

        var c = cursor[1];
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
                cursor.At += 2;
                return new RegexNode.OneOf(NotNewline);
            case 'O':
                cursor.At += 2;
                return new RegexNode.OneOf(Any);
            case 'R':
                cursor.At += 2;
                return new RegexNode.Atomic(new RegexNode.Alternation([
                    new RegexNode.Sequence([new RegexNode.OneOf(new CodePointSet(CodePointRanges.Of('\r'))), new RegexNode.OneOf(Newline)]),
                    new RegexNode.OneOf(new CodePointSet(CodePointRanges.FromUnsorted([(10, 13), (0x85, 0x85), (0x2028, 0x2029)]))),
                ]));
            case 'X' or 'K' or 'y' or 'Y' or 'g':
                throw cursor.Unsupported($"'\\{c}'");
            case 'k':
                cursor.At += 2;
                var name = cursor.Take("<") || cursor.Take("'") ? cursor.Until(cursor[-1] == '<' ? '>' : '\'') : throw cursor.Bad("'\\k' without a name");
                return names.TryGetValue(name, out var named) ? new RegexNode.Back(named, ignoreCase)
                    : int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var numbered) ? Reference(numbered)
                    : throw cursor.Bad($"no group of the name '{name}'");
            case >= '1' and <= '9':
                var end = cursor.At + 1;
                while (end < cursor.Text.Length && char.IsAsciiDigit(cursor.Text[end]))
                {
                    end++;
                }

                var digits = cursor.Text.AsSpan(cursor.At + 1, end - cursor.At - 1);
                if (int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && (number <= groups || number <= 9))
                {
                    cursor.At = end;
                    return Reference(number);
                }

                break;
        }

        if (classes.TryClass() is { } set)
        {
            return new RegexNode.OneOf(set);
        }

        return Literal(classes.ParseCharacter());

        RegexNode.At Anchored(Anchor anchor)
        {
            cursor.At += 2;
            return new RegexNode.At(anchor);
        }

        RegexNode.Back Reference(int group) =>
            group >= 1 && group <= groups ? new RegexNode.Back(group, ignoreCase) : throw cursor.Bad($"no group {group}");
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
}
