using System.Globalization;
using System.Numerics;
using System.Text;

namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>Attributes, items and methods of values: those of Python's str, dict and list that change nothing.</summary>
internal static class TemplateMembers
{
    /// <summary><c>of.id</c>: a method first, then an item of a dict.</summary>
    public static object? Attribute(object? of, string id, TemplateLimits limits)
    {
        switch (of)
        {
            case Undefined undefined:
                throw new ChatTemplateException(undefined.What);
            case NamespaceObject known:
                return known.Members.TryGetValue(id, out var member) ? member : new Undefined($"the object has no attribute '{id}'");
            case DictObject dict:
                return DictMethod(dict, id) ?? (dict.TryGetValue(id, out var value) ? value : new Undefined($"the dict has no entry '{id}'"));
            case string text:
                return StringMethod(text, id, limits) ?? (object)new Undefined($"a str has no attribute '{id}'");
            case List<object?> list:
                return ListMethod(list, id) ?? (object)new Undefined($"a list has no attribute '{id}'");
            default:
                return new Undefined($"{TemplateValues.TypeOf(of)} has no attribute '{id}'");
        }
    }

    /// <summary><c>of[key]</c>: an item first, then an attribute.</summary>
    public static object? Item(object? of, object? key, TemplateLimits limits)
    {
        switch (of)
        {
            case Undefined undefined:
                throw new ChatTemplateException(undefined.What);
            case DictObject dict:
                return key is not null && dict.TryGetValue(key, out var value) ? value
                    : key is string name && DictMethod(dict, name) is { } method ? method
                    : new Undefined($"the dict has no entry {TemplateValues.Repr(key)}");
            case List<object?> list when key is BigInteger or bool:
                var index = TemplateValues.Whole(key);
                index = index < 0 ? index + list.Count : index;
                return index >= 0 && index < list.Count ? list[(int)index] : new Undefined($"the list has no entry {TemplateValues.Text(key)}");
            case string text when key is BigInteger or bool:
                var characters = TemplateValues.IsPlain(text) ? null : TemplateValues.Characters(text);
                var count = characters?.Count ?? text.Length;
                var at = TemplateValues.Whole(key);
                at = at < 0 ? at + count : at;
                return at >= 0 && at < count ? characters?[(int)at] ?? text[(int)at].ToString() : new Undefined($"the str has no character {TemplateValues.Text(key)}");
            default:
                return key is string id ? Attribute(of, id, limits) : new Undefined($"{TemplateValues.TypeOf(of)} has no entry {TemplateValues.Repr(key)}");
        }
    }

    /// <summary><c>of[from:to:step]</c>.</summary>
    public static object? Sliced(object? of, int? from, int? to, int? step)
    {
        var by = step ?? 1;
        if (by == 0)
        {
            throw new ChatTemplateException("the step of a slice is 0");
        }

        if (of is string whole && by == 1 && TemplateValues.IsPlain(whole))
        {
            var first = Within(from, 0, whole.Length);
            return whole[first..Math.Max(first, Within(to, whole.Length, whole.Length))];
        }

        List<object?> items = of switch
        {
            string text => [.. TemplateValues.Characters(text)],
            List<object?> list => list,
            Undefined undefined => throw new ChatTemplateException(undefined.What),
            _ => throw new ChatTemplateException($"{TemplateValues.TypeOf(of)} cannot be sliced"),
        };
        var count = items.Count;
        var begin = Within(from, by < 0 ? count - 1 : 0, count);
        var end = Within(to, by < 0 ? -1 : count, count);
        var chosen = new List<object?>();
        for (long i = begin; by < 0 ? i > end : i < end; i += by)
        {
            chosen.Add(items[(int)i]);
        }

        return of is string ? string.Concat(chosen) : of is TupleObject ? new TupleObject(chosen) : chosen;

        int Within(int? bound, int otherwise, int length) => bound is not { } b ? otherwise : b < 0 ? Math.Max(b + length, by < 0 ? -1 : 0) : Math.Min(b, by < 0 ? length - 1 : length);
    }

    /// <summary>Upper case for the first letter of each word, as <c>str.title</c> has it.</summary>
    public static string Title(string text)
    {
        var title = new StringBuilder(text.Length);
        var inside = false;
        foreach (var c in text)
        {
            title.Append(inside ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c));
            inside = char.IsLetter(c);
        }

        return title.ToString();
    }

    /// <summary>Upper case for the first letter, lower case for the rest.</summary>
    public static string Capitalized(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    /// <summary><c>str.replace</c>.</summary>
    public static string Replaced(string text, string old, string with, int count, TemplateLimits limits)
    {
        var result = new StringBuilder();
        var at = 0;
        while (count != 0)
        {
            var found = old.Length == 0 ? at : text.IndexOf(old, at, StringComparison.Ordinal);
            if (found < 0 || (old.Length == 0 && at > text.Length))
            {
                break;
            }

            result.Append(text, at, found - at).Append(with);
            at = found + old.Length;
            if (old.Length == 0)
            {
                if (at < text.Length)
                {
                    result.Append(text[at]);
                }

                at++;
            }

            count--;
            if (result.Length > limits.Characters)
            {
                throw new ChatTemplateException($"a text has more than {limits.Characters} characters");
            }
        }

        return at < text.Length ? result.Append(text, at, text.Length - at).ToString() : result.ToString();
    }

    /// <summary><c>str.strip</c> and its kin: white space, or any of the given characters.</summary>
    public static string Stripped(string text, object? characters, bool left, bool right)
    {
        var set = characters is null or Undefined ? null : TemplateValues.Text(characters).ToCharArray();
        return (set, left, right) switch
        {
            (null, true, true) => text.Trim(),
            (null, true, _) => text.TrimStart(),
            (null, _, _) => text.TrimEnd(),
            (_, true, true) => Trimmed(text.TrimStart, text, set),
            (_, true, _) => set.Length == 0 ? text : text.TrimStart(set),
            _ => set.Length == 0 ? text : text.TrimEnd(set),
        };
    }

    private static string Trimmed(Func<char[], string> trim, string text, char[] set) => set.Length == 0 ? text : trim(set).TrimEnd(set);

    private static Function? DictMethod(DictObject dict, string id) => id switch
    {
        "items" => (_, _) => dict.Select(pair => (object?)new TupleObject([pair.Key, pair.Value])).ToList(),
        "keys" => (_, _) => dict.Keys.Select(key => (object?)key).ToList(),
        "values" => (_, _) => dict.Values.ToList(),
        "copy" => (_, _) => dict,
        "get" => (given, named) => given.Count > 0 && given[0] is { } key && dict.TryGetValue(key, out var value) ? value : given.Count > 1 ? given[1] : named.GetValueOrDefault("default"),
        _ => null,
    };

    private static Function? ListMethod(List<object?> list, string id) => id switch
    {
        "index" => (given, _) => list.FindIndex(item => TemplateValues.Equals(item, given.ElementAtOrDefault(0))) is >= 0 and var at ? (BigInteger)at : throw new ChatTemplateException("the value is not in the list"),
        "count" => (given, _) => (BigInteger)list.Count(item => TemplateValues.Equals(item, given.ElementAtOrDefault(0))),
        "copy" => (_, _) => list,
        "append" or "extend" or "insert" or "pop" or "remove" or "clear" or "sort" or "reverse" => (_, _) => throw new ChatTemplateException($"'{id}' would change a list, which templates must not; use a namespace and '+'"),
        _ => null,
    };

    private static Function? StringMethod(string text, string id, TemplateLimits limits)
    {
        string Argument(IReadOnlyList<object?> given, int i) => i < given.Count && given[i] is string s ? s : throw new ChatTemplateException($"str.{id} needs a str");
        int Count(IReadOnlyList<object?> given, IReadOnlyDictionary<string, object?> named, int i, string name) =>
            (given.ElementAtOrDefault(i) ?? named.GetValueOrDefault(name)) is { } value ? TemplateValues.Index(value) : -1;
        bool Any(IReadOnlyList<object?> given, Func<string, bool> fits) => given.ElementAtOrDefault(0) is List<object?> several
            ? several.Any(one => fits(TemplateValues.Text(one)))
            : fits(Argument(given, 0));
        return id switch
        {
            "strip" => (given, _) => Stripped(text, given.ElementAtOrDefault(0), true, true),
            "lstrip" => (given, _) => Stripped(text, given.ElementAtOrDefault(0), true, false),
            "rstrip" => (given, _) => Stripped(text, given.ElementAtOrDefault(0), false, true),
            "upper" => (_, _) => text.ToUpperInvariant(),
            "lower" or "casefold" => (_, _) => text.ToLowerInvariant(),
            "title" => (_, _) => Title(text),
            "capitalize" => (_, _) => Capitalized(text),
            "swapcase" => (_, _) => string.Concat(text.Select(c => char.IsUpper(c) ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c))),
            "startswith" => (given, _) => Any(given, part => text.StartsWith(part, StringComparison.Ordinal)),
            "endswith" => (given, _) => Any(given, part => text.EndsWith(part, StringComparison.Ordinal)),
            "removeprefix" => (given, _) => text.StartsWith(Argument(given, 0), StringComparison.Ordinal) ? text[Argument(given, 0).Length..] : text,
            "removesuffix" => (given, _) => Argument(given, 0) is { Length: > 0 } end && text.EndsWith(end, StringComparison.Ordinal) ? text[..^end.Length] : text,
            "replace" => (given, named) => Replaced(text, Argument(given, 0), Argument(given, 1), Count(given, named, 2, "count"), limits),
            "split" => (given, named) => Split(text, given.ElementAtOrDefault(0) ?? named.GetValueOrDefault("sep"), Count(given, named, 1, "maxsplit")),
            "rsplit" => (given, named) => SplitFromRight(text, given.ElementAtOrDefault(0) ?? named.GetValueOrDefault("sep"), Count(given, named, 1, "maxsplit")),
            "splitlines" => (given, _) => Lines(text, TemplateValues.Truth(given.ElementAtOrDefault(0))),
            "partition" => (given, _) => text.IndexOf(Argument(given, 0), StringComparison.Ordinal) is >= 0 and var at ? new TupleObject([text[..at], Argument(given, 0), text[(at + Argument(given, 0).Length)..]]) : new TupleObject([text, "", ""]),
            "rpartition" => (given, _) => text.LastIndexOf(Argument(given, 0), StringComparison.Ordinal) is >= 0 and var at ? new TupleObject([text[..at], Argument(given, 0), text[(at + Argument(given, 0).Length)..]]) : new TupleObject(["", "", text]),
            "join" => (given, _) => string.Join(text, TemplateValues.Iterate(given.ElementAtOrDefault(0)).Select(item => item as string ?? throw new ChatTemplateException($"str.join needs strs and has {TemplateValues.TypeOf(item)}"))),
            "find" => (given, _) => (BigInteger)CodePoints(text, text.IndexOf(Argument(given, 0), StringComparison.Ordinal)),
            "rfind" => (given, _) => (BigInteger)CodePoints(text, text.LastIndexOf(Argument(given, 0), StringComparison.Ordinal)),
            "index" => (given, _) => text.IndexOf(Argument(given, 0), StringComparison.Ordinal) is >= 0 and var at ? (BigInteger)CodePoints(text, at) : throw new ChatTemplateException("the part is not in the str"),
            "count" => (given, _) => (BigInteger)Occurrences(text, Argument(given, 0)),
            "isdigit" or "isdecimal" or "isnumeric" => (_, _) => text.Length > 0 && text.All(char.IsDigit),
            "isalpha" => (_, _) => text.Length > 0 && text.All(char.IsLetter),
            "isalnum" => (_, _) => text.Length > 0 && text.All(char.IsLetterOrDigit),
            "isspace" => (_, _) => text.Length > 0 && text.All(char.IsWhiteSpace),
            "isupper" => (_, _) => text.Any(char.IsUpper) && !text.Any(char.IsLower),
            "islower" => (_, _) => text.Any(char.IsLower) && !text.Any(char.IsUpper),
            "zfill" => (given, _) => Width(given, limits) is var width && text.StartsWith('-') ? "-" + text[1..].PadLeft(width - 1, '0') : text.PadLeft(width, '0'),
            "ljust" => (given, _) => text.PadRight(Width(given, limits), given.Count > 1 ? Argument(given, 1)[0] : ' '),
            "rjust" => (given, _) => text.PadLeft(Width(given, limits), given.Count > 1 ? Argument(given, 1)[0] : ' '),
            "center" => (given, _) => Width(given, limits) is var width && width <= text.Length ? text : text.PadLeft(text.Length + ((width - text.Length) / 2)).PadRight(width),
            "format" => (given, named) => Format(text, given, named, limits),
            "encode" or "expandtabs" or "translate" => (_, _) => throw new ChatTemplateException($"str.{id} is not supported"),
            _ => null,
        };
    }

    private static int Width(IReadOnlyList<object?> given, TemplateLimits limits) =>
        TemplateValues.Index(given.ElementAtOrDefault(0)) is var width && width <= limits.Entries ? Math.Max(0, width) : throw new ChatTemplateException($"a width is more than {limits.Entries}");

    private static int CodePoints(string text, int at) => at < 0 ? -1 : TemplateValues.Length(text[..at]);

    private static int Occurrences(string text, string part)
    {
        if (part.Length == 0)
        {
            return TemplateValues.Length(text) + 1;
        }

        var count = 0;
        for (var at = text.IndexOf(part, StringComparison.Ordinal); at >= 0; at = text.IndexOf(part, at + part.Length, StringComparison.Ordinal))
        {
            count++;
        }

        return count;
    }

    private static List<object?> Split(string text, object? separator, int most)
    {
        if (separator is null or Undefined)
        {
            var words = new List<object?>();
            for (var at = 0; ;)
            {
                while (at < text.Length && char.IsWhiteSpace(text[at]))
                {
                    at++;
                }

                if (at == text.Length)
                {
                    return words;
                }

                if (words.Count == most)
                {
                    words.Add(text[at..].TrimEnd());
                    return words;
                }

                var from = at;
                while (at < text.Length && !char.IsWhiteSpace(text[at]))
                {
                    at++;
                }

                words.Add(text[from..at]);
            }
        }

        var by = separator as string is { Length: > 0 } s ? s : throw new ChatTemplateException("str.split needs a separator that is not empty");
        return most < 0 ? [.. text.Split(by)] : [.. text.Split(by, most + 1)];
    }

    private static List<object?> SplitFromRight(string text, object? separator, int most)
    {
        if (separator is not string { Length: > 0 } by || most < 0)
        {
            return Split(text, separator, most < 0 ? -1 : most);
        }

        var parts = new List<object?>();
        var end = text.Length;
        while (parts.Count < most && text.AsSpan(0, end).LastIndexOf(by, StringComparison.Ordinal) is >= 0 and var at)
        {
            parts.Add(text[(at + by.Length)..end]);
            end = at;
        }

        parts.Add(text[..end]);
        parts.Reverse();
        return parts;
    }

    private static List<object?> Lines(string text, bool keepEnds)
    {
        var lines = new List<object?>();
        var begin = 0;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] is not ('\n' or '\r' or '\v' or '\f' or '\u001c' or '\u001d' or '\u001e' or '\u0085' or '\u2028' or '\u2029'))
            {
                continue;
            }

            var end = text[i] == '\r' && i + 1 < text.Length && text[i + 1] == '\n' ? i + 2 : i + 1;
            lines.Add(text[begin..(keepEnds ? end : i)]);
            begin = end;
            i = end - 1;
        }

        if (begin < text.Length)
        {
            lines.Add(text[begin..]);
        }

        return lines;
    }

    // {} {0} {name} {{ }}; no attributes and no conversions, which could lead outside of the sandbox.
    private static string Format(string text, IReadOnlyList<object?> given, IReadOnlyDictionary<string, object?> named, TemplateLimits limits)
    {
        var next = 0;
        var formatted = System.Text.RegularExpressions.Regex.Replace(text, @"\{\{|\}\}|\{(?<id>\w*)\}", match =>
        {
            if (match.Value is "{{" or "}}")
            {
                return match.Value[..1];
            }

            var id = match.Groups["id"].Value;
            var index = id.Length == 0 ? next++ : int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var own) ? own : -1;
            return index >= 0 ? index < given.Count ? TemplateValues.Text(given[index]) : throw new ChatTemplateException("a format has more places than values")
                : named.TryGetValue(id, out var value) ? TemplateValues.Text(value) : throw new ChatTemplateException($"the format's '{id}' was not given");
        });
        return formatted.Length <= limits.Characters ? formatted : throw new ChatTemplateException($"a text has more than {limits.Characters} characters");
    }
}
