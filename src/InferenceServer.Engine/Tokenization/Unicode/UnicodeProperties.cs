using System.Collections.Concurrent;

namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>
/// Character properties by the names that Oniguruma knows: general categories, scripts, binary properties and POSIX classes;
/// case, spaces, hyphens and underscores in a name do not count.
/// </summary>
internal static class UnicodeProperties
{
    private static readonly ConcurrentDictionary<string, CodePointSet?> Known = new(StringComparer.Ordinal);

    private static readonly Lazy<Dictionary<string, (string Section, int Value)>> Names = new(ReadNames);

    /// <summary><c>\w</c> of Oniguruma.</summary>
    public static CodePointSet Word => Find("word")!;

    /// <summary><c>\w</c> of Oniguruma inside brackets: it leaves out the numbers of Latin-1 that are no digits (U+00B2, U+00BD and the like).</summary>
    public static CodePointSet BracketWord => Find("[:word:]")!;

    /// <summary><c>\d</c> of Oniguruma.</summary>
    public static CodePointSet Digit => Find("nd")!;

    /// <summary><c>\s</c> of Oniguruma.</summary>
    public static CodePointSet Space => Find("whitespace")!;

    /// <summary>The set of a property, or null when there is none of that name.</summary>
    public static CodePointSet? Find(string name)
    {
        var canonical = string.Concat(name.Where(static c => c is not (' ' or '-' or '_'))).ToLowerInvariant();
        return Known.GetOrAdd(canonical, static key => Ranges(key) is { } ranges ? new CodePointSet(ranges) : null);
    }

    /// <summary>A POSIX bracket class such as <c>alpha</c>, or null.</summary>
    public static CodePointSet? FindPosix(string name) => name is "alnum" or "alpha" or "ascii" or "blank" or "cntrl" or "digit" or "graph"
        or "lower" or "print" or "space" or "upper" or "xdigit" ? Find(name)
        : name is "punct" ? Find("posixpunct") : name is "word" ? Find("[:word:]") : null;

    private static CodePointRanges? Ranges(string name)
    {
        switch (name)
        {
            case "":
                return null;
            case "any":
                return CodePointRanges.All;
            case "assigned":
                return Ranges("cn")!.Complement();
            case "ascii":
                return CodePointRanges.Of(0, 127);
            case "word":
                return UnicodeData.Ranges("onig.word");
            case "alnum":
                return Ranges("alphabetic")!.Union(Ranges("nd")!);
            case "blank":
                return Ranges("zs")!.Union(CodePointRanges.Of('\t'));
            case "digit":
                return Ranges("nd");
            case "punct":
                return Ranges("p");
            case "posixpunct":
                return Ranges("p")!.Union(Ranges("s")!); // [[:punct:]]: symbols too, since Oniguruma 6.9
            case "[:word:]":
                return Ranges("word")!.Intersect(CodePointRanges.FromUnsorted([(0xB2, 0xB3), (0xB9, 0xB9), (0xBC, 0xBE)]).Complement());
            case "xdigit":
                return Ranges("asciihexdigit");
            case "graph":
                return Ranges("whitespace")!.Union(Ranges("cc")!).Union(Ranges("cn")!).Union(Ranges("cs")!).Complement();
            case "print":
                return Ranges("graph")!.Union(Ranges("zs")!);
            case "cntrl":
                return Ranges("cc");
            case "lc" or "casedletter":
                return Ranges("lu")!.Union(Ranges("ll")!).Union(Ranges("lt")!);
            case "c" or "other" or "l" or "letter" or "m" or "mark" or "combiningmark" or "n" or "number" or "p" or "punctuation"
                or "s" or "symbol" or "z" or "separator":
                return Group(name == "combiningmark" ? 'm' : name == "punctuation" ? 'p' : name == "separator" ? 'z' : name == "symbol" ? 's' : name[0] == 'o' ? 'c' : name[0]);
        }

        return Names.Value.TryGetValue(name, out var found)
            ? found.Value < 0 ? UnicodeData.Ranges(found.Section) : Values(found.Section, value => value == found.Value)
            : null;
    }

    private static CodePointRanges Group(char letter)
    {
        var members = UnicodeData.Names("gc.names").Select(names => names[0][0] == letter).ToArray();
        return Values("gc", value => members[value]);
    }

    private static CodePointRanges Values(string section, Func<int, bool> wanted)
    {
        var ranges = new List<(int, int)>();
        foreach (var (first, last, value) in UnicodeData.Runs(section))
        {
            if (wanted(value))
            {
                ranges.Add((first, last));
            }
        }

        return CodePointRanges.FromUnsorted(ranges);
    }

    private static Dictionary<string, (string Section, int Value)> ReadNames()
    {
        var names = new Dictionary<string, (string, int)>(StringComparer.Ordinal);
        Add("gc", UnicodeData.Names("gc.names"));
        Add("sc", UnicodeData.Names("sc.names"));
        foreach (var aliases in UnicodeData.Names("bin.names"))
        {
            foreach (var alias in aliases)
            {
                names.TryAdd(alias, ("bin." + aliases[0], -1));
            }
        }

        return names;

        void Add(string section, string[][] lists)
        {
            for (var value = 0; value < lists.Length; value++)
            {
                foreach (var name in lists[value])
                {
                    names.TryAdd(name, (section, value));
                }
            }
        }
    }
}
