using System.Globalization;
using System.Numerics;
using System.Text;

namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>Jinja's filters and tests, with transformers' <c>tojson</c>.</summary>
/// <param name="limits">The bounds of the rendering.</param>
internal sealed class TemplateFilters(TemplateLimits limits)
{
    private const string Nothing = "\0None"; // None among the keys of a set

    // Linear in the text, whatever it holds.
    private static readonly System.Text.RegularExpressions.Regex Tags = new("<!--.*?-->|<[^>]*>", System.Text.RegularExpressions.RegexOptions.NonBacktracking);
    private static readonly System.Text.RegularExpressions.Regex Spaces = new(@"\s+", System.Text.RegularExpressions.RegexOptions.NonBacktracking);

    /// <summary>A filter's result.</summary>
    /// <exception cref="ChatTemplateException">There is no such filter, or it does not take the value.</exception>
    public object? Apply(string id, object? value, IReadOnlyList<object?> given, IReadOnlyDictionary<string, object?> named)
    {
        object? Argument(int i, string name) => i < given.Count ? given[i] : named.GetValueOrDefault(name);
        string Text() => value is Undefined u ? "" : TemplateValues.Text(value);
        List<object?> Items() => [.. TemplateValues.Iterate(value)];
        switch (id)
        {
            case "trim":
                return TemplateMembers.Stripped(Text(), Argument(0, "chars"), true, true);
            case "length" or "count":
                return (BigInteger)TemplateValues.Length(value);
            case "upper":
                return Text().ToUpperInvariant();
            case "lower":
                return Text().ToLowerInvariant();
            case "title":
                return TemplateMembers.Title(Text());
            case "capitalize":
                return TemplateMembers.Capitalized(Text());
            case "string":
                return Text();
            case "safe":
                return value;
            case "escape" or "e" or "forceescape":
                return Text().Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal);
            case "replace":
                return TemplateMembers.Replaced(Text(), TemplateValues.Text(Argument(0, "old")), TemplateValues.Text(Argument(1, "new")), Argument(2, "count") is { } most ? TemplateValues.Index(most) : -1, limits);
            case "default" or "d":
                return value is Undefined || (TemplateValues.Truth(Argument(1, "boolean")) && !TemplateValues.Truth(value)) ? given.Count > 0 || named.ContainsKey("default_value") ? Argument(0, "default_value") : "" : value;
            case "join":
                return Joined(Items(), TemplateValues.Text(Argument(0, "d") ?? ""), Argument(1, "attribute"));
            case "tojson":
                return TemplateValues.Json(
                    value is Undefined u2 ? throw new ChatTemplateException(u2.What) : value,
                    Argument(1, "indent") switch { null => null, string s => s, var n => new string(' ', Math.Clamp(TemplateValues.Index(n), 0, 64)) },
                    (Argument(2, "separators") as List<object?>) is { Count: 2 } pair ? TemplateValues.Text(pair[0]) : null,
                    (Argument(2, "separators") as List<object?>) is { Count: 2 } both ? TemplateValues.Text(both[1]) : ": ",
                    TemplateValues.Truth(Argument(3, "sort_keys")),
                    TemplateValues.Truth(Argument(0, "ensure_ascii")));
            case "list":
                return Items();
            case "first":
                return Items() is { Count: > 0 } some ? some[0] : new Undefined("the list is empty: it has no first item");
            case "last":
                return Items() is { Count: > 0 } any ? any[^1] : new Undefined("the list is empty: it has no last item");
            case "reverse":
                return value is string text ? string.Concat(Enumerable.Reverse(TemplateValues.Characters(text))) : Enumerable.Reverse(Items()).ToList();
            case "items":
                return value is DictObject dict ? dict.Select(entry => (object?)new TupleObject([entry.Key, entry.Value])).ToList()
                    : value is Undefined ? new List<object?>() : throw new ChatTemplateException($"'items' needs a dict and has {TemplateValues.TypeOf(value)}");
            case "dictsort":
                return DictSorted(value, Argument(0, "case_sensitive"), Argument(1, "by"), Argument(2, "reverse"));
            case "sort":
                return Sorted(Items(), TemplateValues.Truth(Argument(0, "reverse")), TemplateValues.Truth(Argument(1, "case_sensitive")), Argument(2, "attribute"));
            case "unique":
                return Unique(Items(), TemplateValues.Truth(Argument(0, "case_sensitive")), Argument(1, "attribute"));
            case "map":
                return Mapped(Items(), given, named);
            case "select" or "reject":
                return Items().Where(item => Chosen(item, given) == (id == "select")).ToList();
            case "selectattr" or "rejectattr":
                return Items().Where(item => Chosen(Path(item, given.ElementAtOrDefault(0)), [.. given.Skip(1)]) == (id == "selectattr")).ToList();
            case "groupby":
                return Grouped(Items(), Argument(0, "attribute"), Argument(1, "default"));
            case "batch":
                return Batches(Items(), TemplateValues.Index(Argument(0, "linecount")), given.Count > 1 ? given[1] : null, given.Count > 1);
            case "slice":
                return Slices(Items(), TemplateValues.Index(Argument(0, "slices")));
            case "sum":
                var values = Items().Select(item => Argument(0, "attribute") is { } attribute ? Path(item, attribute) : item);
                return values.Aggregate(given.Count > 1 ? given[1] : named.GetValueOrDefault("start", BigInteger.Zero), (sum, item) => TemplateOperators.Binary("+", sum, item, limits));
            case "min" or "max":
                return Extreme(Items(), id == "max", Argument(1, "attribute"));
            case "abs":
                return value is double d ? Math.Abs(d) : BigInteger.Abs(TemplateValues.Whole(value));
            case "round":
                return Rounded(value, Argument(0, "precision"), Argument(1, "method"));
            case "int":
                return ToWhole(value, Argument(0, "default"));
            case "float":
                return value is string number ? double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out var parsed) ? parsed : Argument(0, "default") ?? 0.0 : TemplateValues.Number(value) ?? Argument(0, "default") ?? 0.0;
            case "indent":
                return Indented(Text(), Argument(0, "width"), TemplateValues.Truth(Argument(1, "first")), TemplateValues.Truth(Argument(2, "blank")));
            case "wordcount":
                return (BigInteger)Text().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;
            case "center":
                var width = TemplateValues.Index(Argument(0, "width") ?? (BigInteger)80);
                return Text() is var centred && width <= centred.Length || width > limits.Entries ? Text() : centred.PadLeft(centred.Length + ((width - centred.Length) / 2)).PadRight(width);
            case "truncate":
                return Truncated(Text(), TemplateValues.Index(Argument(0, "length") ?? (BigInteger)255), TemplateValues.Truth(Argument(1, "killwords")), Argument(2, "end") as string ?? "...");
            case "format":
                return TemplateOperators.Formatted(Text(), [.. given]);
            case "attr":
                return value is NamespaceObject ? TemplateMembers.Attribute(value, TemplateValues.Text(Argument(0, "name")), limits) : new Undefined($"{TemplateValues.TypeOf(value)} has no such attribute");
            case "striptags":
                return Spaces.Replace(Tags.Replace(Text(), ""), " ").Trim();
            default:
                throw new ChatTemplateException($"there is no filter '{id}'");
        }
    }

    /// <summary>Whether a test holds.</summary>
    /// <exception cref="ChatTemplateException">There is no such test.</exception>
    public bool Test(string id, object? value, IReadOnlyList<object?> given)
    {
        var other = given.ElementAtOrDefault(0);
        return id switch
        {
            "defined" => value is not Undefined,
            "undefined" => value is Undefined,
            "none" => value is null,
            "boolean" => value is bool,
            "true" => value is true,
            "false" => value is false,
            "string" => value is string,
            "number" => value is BigInteger or double or bool,
            "integer" => value is BigInteger,
            "float" => value is double,
            "mapping" => value is DictObject,
            "sequence" => value is string or List<object?> or DictObject,
            "iterable" => value is string or List<object?> or DictObject or Undefined,
            "callable" => value is Function,
            "even" => TemplateValues.Whole(value).IsEven,
            "odd" => !TemplateValues.Whole(value).IsEven,
            "divisibleby" => (TemplateValues.Whole(value) % TemplateValues.Whole(other)).IsZero,
            "eq" or "equalto" or "==" => TemplateValues.Equals(value, other),
            "ne" or "!=" => !TemplateValues.Equals(value, other),
            "lt" or "lessthan" or "<" => TemplateValues.Compare(value, other) < 0,
            "le" or "<=" => TemplateValues.Compare(value, other) <= 0,
            "gt" or "greaterthan" or ">" => TemplateValues.Compare(value, other) > 0,
            "ge" or ">=" => TemplateValues.Compare(value, other) >= 0,
            "in" => TemplateOperators.In(value, other),
            "sameas" => ReferenceEquals(value, other) || (value is null or bool or string or BigInteger && value?.GetType() == other?.GetType() && TemplateValues.Equals(value, other)),
            "upper" => value is string u && u.Any(char.IsUpper) && !u.Any(char.IsLower),
            "lower" => value is string l && l.Any(char.IsLower) && !l.Any(char.IsUpper),
            "escaped" => false,
            _ => throw new ChatTemplateException($"there is no test '{id}'"),
        };
    }

    // a.b.0 of an item.
    private object? Path(object? item, object? path)
    {
        if (path is BigInteger index)
        {
            return TemplateMembers.Item(item, index, limits);
        }

        foreach (var part in TemplateValues.Text(path).Split('.'))
        {
            item = item is Undefined ? item : int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? TemplateMembers.Item(item, (BigInteger)number, limits) : TemplateMembers.Item(item, part, limits);
        }

        return item;
    }

    private bool Chosen(object? item, IReadOnlyList<object?> test) => test.Count == 0 ? TemplateValues.Truth(item) : Test(TemplateValues.Text(test[0]), item, [.. test.Skip(1)]);

    private List<object?> Mapped(List<object?> items, IReadOnlyList<object?> given, IReadOnlyDictionary<string, object?> named)
    {
        if (named.TryGetValue("attribute", out var attribute))
        {
            var hasDefault = named.TryGetValue("default", out var otherwise);
            return items.ConvertAll(item => Path(item, attribute) is var found && found is Undefined && hasDefault ? otherwise : found);
        }

        if (given.Count == 0)
        {
            throw new ChatTemplateException("'map' needs a filter or an attribute");
        }

        return items.ConvertAll(item => Apply(TemplateValues.Text(given[0]), item, [.. given.Skip(1)], named));
    }

    private string Joined(List<object?> items, string between, object? attribute)
    {
        var joined = new StringBuilder();
        for (var i = 0; i < items.Count; i++)
        {
            joined.Append(i > 0 ? between : "").Append(TemplateValues.Text(attribute is null ? items[i] : Path(items[i], attribute)));
            if (joined.Length > limits.Characters)
            {
                throw new ChatTemplateException($"a text has more than {limits.Characters} characters");
            }
        }

        return joined.ToString();
    }

    private static object? Folded(object? value, bool caseSensitive) => !caseSensitive && value is string text ? text.ToLowerInvariant() : value;

    private List<object?> Sorted(List<object?> items, bool reverse, bool caseSensitive, object? attribute)
    {
        object? Key(object? item) => attribute is null ? Folded(item, caseSensitive)
            : TemplateValues.Text(attribute).Split(',') is { Length: > 1 } several ? several.Select(one => Folded(Path(item, one.Trim()), caseSensitive)).ToList()
            : Folded(Path(item, attribute), caseSensitive);
        var order = Comparer<object?>.Create(TemplateValues.Compare);
        return Ordered(() => (reverse ? items.OrderByDescending(Key, order) : items.OrderBy(Key, order)).ToList());
    }

    private static List<object?> DictSorted(object? value, object? caseSensitive, object? by, object? reverse)
    {
        if (value is not DictObject dict)
        {
            throw new ChatTemplateException($"'dictsort' needs a dict and has {TemplateValues.TypeOf(value)}");
        }

        var order = Comparer<object?>.Create(TemplateValues.Compare);
        object? Key(KeyValuePair<object, object?> pair) => Folded(by is "value" ? pair.Value : pair.Key, TemplateValues.Truth(caseSensitive));
        var pairs = dict.AsEnumerable();
        return Ordered(() => (TemplateValues.Truth(reverse) ? pairs.OrderByDescending(Key, order) : pairs.OrderBy(Key, order)).Select(pair => (object?)new TupleObject([pair.Key, pair.Value])).ToList());
    }

    // What a comparison says comes wrapped out of a sort.
    private static List<object?> Ordered(Func<List<object?>> sort)
    {
        try
        {
            return sort();
        }
        catch (InvalidOperationException e) when (e.InnerException is ChatTemplateException inner)
        {
            throw new ChatTemplateException(inner.Message);
        }
    }

    private List<object?> Unique(List<object?> items, bool caseSensitive, object? attribute)
    {
        var seen = new HashSet<object>(TemplateValues.Equality);
        return items.Where(item => seen.Add(Folded(attribute is null ? item : Path(item, attribute), caseSensitive) ?? Nothing)).ToList();
    }

    private List<object?> Grouped(List<object?> items, object? attribute, object? otherwise)
    {
        object? Key(object? item) => Path(item, attribute) is var key && key is Undefined && otherwise is not null ? otherwise : Path(item, attribute);
        var groups = new List<object?>();
        foreach (var item in Sorted(items, false, true, attribute))
        {
            var key = Key(item);
            if (groups.Count == 0 || !TemplateValues.Equals(((TupleObject)groups[^1]!)[0], key))
            {
                groups.Add(new TupleObject([key, new List<object?>()]));
            }

            ((List<object?>)((TupleObject)groups[^1]!)[1]!).Add(item);
        }

        return groups;
    }

    private static List<object?> Batches(List<object?> items, int size, object? fill, bool fills)
    {
        if (size < 1)
        {
            throw new ChatTemplateException("'batch' needs a size of at least 1");
        }

        var batches = items.Chunk(size).Select(chunk => (object?)chunk.ToList()).ToList();
        if (fills && batches.Count > 0 && batches[^1] is List<object?> last && size <= 100_000)
        {
            last.AddRange(Enumerable.Repeat(fill, size - last.Count));
        }

        return batches;
    }

    private static List<object?> Slices(List<object?> items, int count)
    {
        if (count is < 1 or > 100_000)
        {
            throw new ChatTemplateException("'slice' needs a number of at least 1");
        }

        var slices = new List<object?>();
        var at = 0;
        for (var i = 0; i < count; i++)
        {
            var length = (items.Count / count) + (i < items.Count % count ? 1 : 0);
            slices.Add(items.GetRange(at, length));
            at += length;
        }

        return slices;
    }

    private object? Extreme(List<object?> items, bool max, object? attribute)
    {
        if (items.Count == 0)
        {
            return new Undefined("the list is empty");
        }

        var best = items[0];
        foreach (var item in items.Skip(1))
        {
            var order = TemplateValues.Compare(Folded(attribute is null ? item : Path(item, attribute), false), Folded(attribute is null ? best : Path(best, attribute), false));
            best = (max ? order > 0 : order < 0) ? item : best;
        }

        return best;
    }

    private static double Rounded(object? value, object? precision, object? method)
    {
        var number = TemplateValues.Number(value) ?? throw new ChatTemplateException($"{TemplateValues.TypeOf(value)} is no number");
        var digits = Math.Clamp(precision is null ? 0 : TemplateValues.Index(precision), 0, 15);
        var factor = Math.Pow(10, digits);
        return method switch
        {
            "ceil" => Math.Ceiling(number * factor) / factor,
            "floor" => Math.Floor(number * factor) / factor,
            _ => Math.Round(number, digits, MidpointRounding.ToEven),
        };
    }

    private static object? ToWhole(object? value, object? otherwise) => value switch
    {
        double d when double.IsFinite(d) => new BigInteger(Math.Truncate(d)),
        BigInteger or bool => TemplateValues.Whole(value),
        string s when BigInteger.TryParse(s.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole) => whole,
        string s when double.TryParse(s, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) => new BigInteger(Math.Truncate(number)),
        _ => otherwise ?? BigInteger.Zero,
    };

    private static string Indented(string text, object? width, bool first, bool blank)
    {
        var indent = width is string own ? own : new string(' ', Math.Clamp(width is null ? 4 : TemplateValues.Index(width), 0, 1000));
        var lines = text.Split('\n');
        return string.Join('\n', lines.Select((line, i) => (i == 0 && !first) || (i > 0 && line.Length == 0 && !blank) ? line : indent + line));
    }

    private static string Truncated(string text, int length, bool killWords, string end)
    {
        const int leeway = 5;
        if (text.Length <= Math.Max(0, length) + leeway)
        {
            return text;
        }

        var kept = text[..Math.Max(0, length - end.Length)];
        return (killWords || kept.LastIndexOf(' ') < 0 ? kept : kept[..kept.LastIndexOf(' ')]) + end;
    }
}
