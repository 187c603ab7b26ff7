using System.Collections;
using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;

namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>The absence of a value; says what is absent.</summary>
internal sealed record Undefined(string What);

/// <summary>A mutable object of <c>namespace()</c>.</summary>
internal sealed class NamespaceObject
{
    public Dictionary<string, object?> Members { get; } = new(StringComparer.Ordinal);
}

/// <summary>A tuple: a list that prints with round brackets.</summary>
internal sealed class TupleObject(IEnumerable<object?> items) : List<object?>(items);

/// <summary>A dict in the order of its keys' insertion.</summary>
internal sealed class DictObject : OrderedDictionary<object, object?>
{
    public DictObject()
        : base(TemplateValues.Equality)
    {
    }
}

/// <summary>Something that can be called.</summary>
internal delegate object? Function(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> named);

/// <summary>
/// Values as Python has them: None, bool, int (of any size), float, str (counted by code points), list, tuple, dict. They are never changed once they are made, except
/// namespaces.
/// </summary>
internal static class TemplateValues
{
    /// <summary>Equality of keys: <c>1 == 1.0 == True</c>.</summary>
    public static IEqualityComparer<object> Equality { get; } = new KeyEquality();

    /// <summary>A JSON value as a template sees it.</summary>
    public static object? Of(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.True:
                return true;
            case JsonValueKind.False:
                return false;
            case JsonValueKind.String:
                return element.GetString();
            case JsonValueKind.Number:
                var raw = element.GetRawText();
                return raw.AsSpan().IndexOfAny(".eE") < 0 ? BigInteger.Parse(raw, CultureInfo.InvariantCulture) : element.GetDouble();
            case JsonValueKind.Array:
                return element.EnumerateArray().Select(Of).ToList();
            case JsonValueKind.Object:
                var dict = new DictObject();
                foreach (var member in element.EnumerateObject())
                {
                    dict[member.Name] = Of(member.Value);
                }

                return dict;
            default:
                return null;
        }
    }

    public static bool Truth(object? value) => value switch
    {
        null or Undefined => false,
        bool b => b,
        string s => s.Length > 0,
        BigInteger i => !i.IsZero,
        double d => d != 0,
        DictObject d => d.Count > 0,
        ICollection c => c.Count > 0,
        _ => true,
    };

    public static new bool Equals(object? a, object? b) => (a, b) switch
    {
        (null, null) => true,
        (null, _) or (_, null) => false,
        (Undefined, Undefined) => true,
        (string x, string y) => string.Equals(x, y, StringComparison.Ordinal),
        _ when Number(a) is { } x && Number(b) is { } y => a is BigInteger or bool && b is BigInteger or bool ? Whole(a) == Whole(b) : x == y,
        (DictObject x, DictObject y) => x.Count == y.Count && x.All(pair => y.TryGetValue(pair.Key, out var other) && Equals(pair.Value, other)),
        (List<object?> x, List<object?> y) => x is TupleObject == y is TupleObject && x.Count == y.Count && x.Zip(y).All(pair => Equals(pair.First, pair.Second)),
        _ => ReferenceEquals(a, b),
    };

    public static int Compare(object? a, object? b)
    {
        if (a is string x && b is string y)
        {
            return CompareText(x, y);
        }

        if (a is BigInteger or bool && b is BigInteger or bool)
        {
            return Whole(a).CompareTo(Whole(b));
        }

        if (Number(a) is { } m && Number(b) is { } n)
        {
            return m.CompareTo(n);
        }

        if (a is List<object?> l && b is List<object?> r)
        {
            for (var i = 0; i < Math.Min(l.Count, r.Count); i++)
            {
                if (!Equals(l[i], r[i]))
                {
                    return Compare(l[i], r[i]);
                }
            }

            return l.Count.CompareTo(r.Count);
        }

        throw new ChatTemplateException($"{TypeOf(a)} and {TypeOf(b)} cannot be compared");
    }

    // By code points: a character beyond U+FFFF comes after U+FFFF, its surrogates do not.
    private static int CompareText(string x, string y)
    {
        for (var i = 0; i < Math.Min(x.Length, y.Length); i++)
        {
            if (x[i] != y[i])
            {
                return char.IsSurrogate(x[i]) == char.IsSurrogate(y[i]) ? x[i].CompareTo(y[i]) : char.IsSurrogate(x[i]) ? 1 : -1;
            }
        }

        return x.Length.CompareTo(y.Length);
    }

    public static double? Number(object? value) => value switch { bool b => b ? 1 : 0, BigInteger i => (double)i, double d => d, _ => null };

    public static BigInteger Whole(object? value) => value switch
    {
        bool b => b ? 1 : 0,
        BigInteger i => i,
        _ => throw new ChatTemplateException($"{TypeOf(value)} stands where a whole number belongs"),
    };

    public static int Index(object? value) => Whole(value) is var whole && whole >= int.MinValue && whole <= int.MaxValue ? (int)whole : throw new ChatTemplateException($"the number {whole} is too large here");

    public static string TypeOf(object? value) => value switch
    {
        null => "None",
        Undefined u => u.What,
        bool => "bool",
        string => "str",
        BigInteger => "int",
        double => "float",
        DictObject => "dict",
        TupleObject => "tuple",
        List<object?> => "list",
        Function => "a function",
        NamespaceObject => "a namespace",
        _ => "an object",
    };

    /// <summary>Everything that can be gone through: the characters of a string, the keys of a dict.</summary>
    public static IEnumerable<object?> Iterate(object? value) => value switch
    {
        Undefined => [],
        string s => Characters(s),
        DictObject d => d.Keys,
        List<object?> l => l,
        _ => throw new ChatTemplateException($"{TypeOf(value)} cannot be gone through"),
    };

    /// <summary>Whether every UTF-16 unit of a text is a character of its own.</summary>
    public static bool IsPlain(string text) => text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') < 0;

    public static List<string> Characters(string text)
    {
        var characters = new List<string>(text.Length);
        for (var i = 0; i < text.Length; i += char.IsSurrogatePair(text, i) ? 2 : 1)
        {
            characters.Add(char.IsSurrogatePair(text, i) ? text.Substring(i, 2) : text[i].ToString());
        }

        return characters;
    }

    public static int Length(object? value) => value switch
    {
        Undefined => 0,
        string s => IsPlain(s) ? s.Length : Characters(s).Count,
        DictObject d => d.Count,
        List<object?> l => l.Count,
        _ => throw new ChatTemplateException($"{TypeOf(value)} has no length"),
    };

    /// <summary>The value as <c>str</c> prints it.</summary>
    public static string Text(object? value) => value switch
    {
        Undefined => "",
        string s => s,
        _ => Repr(value),
    };

    /// <summary>The value as <c>repr</c> prints it.</summary>
    public static string Repr(object? value)
    {
        switch (value)
        {
            case null:
                return "None";
            case bool b:
                return b ? "True" : "False";
            case BigInteger i:
                return i.ToString(CultureInfo.InvariantCulture);
            case double d:
                return Float(d);
            case string s:
                return Quoted(s);
            case Undefined:
                return "Undefined";
            case DictObject d:
                return $"{{{string.Join(", ", d.Select(pair => $"{Repr(pair.Key)}: {Repr(pair.Value)}"))}}}";
            case TupleObject t:
                return t.Count == 1 ? $"({Repr(t[0])},)" : $"({string.Join(", ", t.Select(Repr))})";
            case List<object?> l:
                return $"[{string.Join(", ", l.Select(Repr))}]";
            default:
                return $"<{TypeOf(value)}>";
        }
    }

    /// <summary>A float as Python prints it: the shortest digits that give it again, with an exponent below 1e-4 and from 1e16.</summary>
    public static string Float(double value)
    {
        if (double.IsNaN(value) || double.IsInfinity(value))
        {
            return double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        }

        var shortest = value.ToString("R", CultureInfo.InvariantCulture).TrimStart('-');
        var exponent = shortest.IndexOf('E', StringComparison.Ordinal);
        var magnitude = exponent >= 0 ? int.Parse(shortest[(exponent + 1)..], CultureInfo.InvariantCulture)
            : shortest.StartsWith("0.", StringComparison.Ordinal) ? 1 - shortest.AsSpan(2).IndexOfAnyExcept('0') - 2
            : shortest.Split('.')[0].Length - 1;
        var mantissa = shortest.Split('E')[0];
        var digits = new string([.. mantissa.Where(char.IsAsciiDigit)]).TrimStart('0');
        var sign = double.IsNegative(value) ? "-" : "";
        if (value != 0 && (magnitude < -4 || magnitude >= 16))
        {
            digits = digits.TrimEnd('0');
            return $"{sign}{digits[0]}{(digits.Length > 1 ? "." + digits[1..] : "")}e{(magnitude < 0 ? "-" : "+")}{Math.Abs(magnitude).ToString("00", CultureInfo.InvariantCulture)}";
        }

        var plain = exponent >= 0 ? Math.Abs(value).ToString("F20", CultureInfo.InvariantCulture).TrimEnd('0') : shortest;
        return sign + (plain.EndsWith('.') ? plain + "0" : plain.Contains('.', StringComparison.Ordinal) ? plain : plain + ".0");
    }

    private static string Quoted(string text)
    {
        var quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        var quoted = new StringBuilder().Append(quote);
        foreach (var rune in text.EnumerateRunes())
        {
            quoted.Append(rune.Value switch
            {
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                _ when rune.Value == quote => "\\" + quote,
                < 0x20 or (>= 0x7F and < 0xA1) or 0xAD => string.Create(CultureInfo.InvariantCulture, $"\\x{rune.Value:x2}"),
                _ => rune.ToString(),
            });
        }

        return quoted.Append(quote).ToString();
    }

    /// <summary>The value as <c>json.dumps</c> writes it, without escaping what is not ASCII.</summary>
    /// <param name="value">The value.</param>
    /// <param name="indent">Spaces of a level; null: all on one line.</param>
    /// <param name="item">Between items.</param>
    /// <param name="key">Between key and value.</param>
    /// <param name="sorted">Whether keys are sorted.</param>
    /// <param name="ascii">Whether what is not ASCII is escaped.</param>
    public static string Json(object? value, string? indent = null, string? item = null, string key = ": ", bool sorted = false, bool ascii = false)
    {
        var json = new StringBuilder();
        Write(value, 0);
        return json.ToString();

        void Write(object? one, int level)
        {
            if (level > 200)
            {
                throw new ChatTemplateException("a value is nested too deeply for tojson");
            }

            switch (one)
            {
                case null:
                    json.Append("null");
                    break;
                case bool b:
                    json.Append(b ? "true" : "false");
                    break;
                case string s:
                    WriteText(s);
                    break;
                case double d:
                    json.Append(double.IsNaN(d) ? "NaN" : double.IsInfinity(d) ? d > 0 ? "Infinity" : "-Infinity" : Float(d));
                    break;
                case BigInteger i:
                    json.Append(i.ToString(CultureInfo.InvariantCulture));
                    break;
                case DictObject dict:
                    Group('{', '}', (sorted ? dict.OrderBy(pair => Text(pair.Key), StringComparer.Ordinal) : dict.AsEnumerable()).ToList(), level, pair =>
                    {
                        WriteText(pair.Key is string s ? s : Json(pair.Key));
                        json.Append(key);
                        Write(pair.Value, level + 1);
                    });
                    break;
                case List<object?> list:
                    Group('[', ']', list, level, entry => Write(entry, level + 1));
                    break;
                default:
                    throw new ChatTemplateException($"{TypeOf(one)} cannot be written as JSON");
            }
        }

        void Group<T>(char open, char close, List<T> items, int level, Action<T> write)
        {
            json.Append(open);
            for (var i = 0; i < items.Count; i++)
            {
                json.Append(i == 0 ? "" : item ?? (indent is null ? ", " : ","));
                NewLine(level + 1);
                write(items[i]);
            }

            if (items.Count > 0)
            {
                NewLine(level);
            }

            json.Append(close);
        }

        void NewLine(int level)
        {
            if (indent is not null)
            {
                json.Append('\n').Insert(json.Length, indent, level);
            }
        }

        void WriteText(string s)
        {
            json.Append('"');
            foreach (var c in s)
            {
                json.Append(c switch
                {
                    '"' => "\\\"",
                    '\\' => "\\\\",
                    '\n' => "\\n",
                    '\r' => "\\r",
                    '\t' => "\\t",
                    '\b' => "\\b",
                    '\f' => "\\f",
                    _ when c < 0x20 || (ascii && c > 0x7E) => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                    _ => c.ToString(),
                });
            }

            json.Append('"');
        }
    }

    private sealed class KeyEquality : IEqualityComparer<object>
    {
        bool IEqualityComparer<object>.Equals(object? x, object? y) => TemplateValues.Equals(x, y);

        public int GetHashCode(object obj) => obj switch
        {
            string s => s.GetHashCode(StringComparison.Ordinal),
            _ when Number(obj) is { } n => n.GetHashCode(),
            TupleObject t => t.Count,
            _ => throw new ChatTemplateException($"{TypeOf(obj)} cannot be a key"),
        };
    }
}
