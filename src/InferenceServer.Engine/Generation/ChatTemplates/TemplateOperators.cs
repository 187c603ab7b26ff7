using System.Numerics;

namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>Operators as Python has them.</summary>
internal static class TemplateOperators
{
    private const int MostExponent = 4096;
    private const int MostBits = 1 << 20; // of a whole number

    public static object? Unary(string op, object? value) => op switch
    {
        "not" => !TemplateValues.Truth(value),
        "-" when value is double d => -d,
        "-" => -TemplateValues.Whole(value),
        _ when value is double => value,
        _ => TemplateValues.Whole(value),
    };

    public static object? Binary(string op, object? a, object? b, TemplateLimits limits)
    {
        if (op == "~")
        {
            return TemplateValues.Text(a) + TemplateValues.Text(b);
        }

        if (a is Undefined or null || b is Undefined or null)
        {
            throw new ChatTemplateException(a is Undefined u ? u.What : b is Undefined v ? v.What : $"'{op}' cannot be done with {TemplateValues.TypeOf(a)} and {TemplateValues.TypeOf(b)}");
        }

        switch (op)
        {
            case "+" when a is string x && b is string y:
                return x + y;
            case "+" when a is List<object?> x && b is List<object?> y && a is TupleObject == b is TupleObject:
                Require(x.Count + y.Count, limits);
                return a is TupleObject ? new TupleObject(x.Concat(y)) : x.Concat(y).ToList();
            case "*" when a is string x && b is BigInteger or bool:
                return Repeated(x, TemplateValues.Whole(b), limits);
            case "*" when b is string y && a is BigInteger or bool:
                return Repeated(y, TemplateValues.Whole(a), limits);
            case "*" when a is List<object?> x && b is BigInteger n:
                Require((long)BigInteger.Min(BigInteger.Max(n, 0) * x.Count, int.MaxValue), limits);
                return Enumerable.Repeat(x, (int)BigInteger.Max(n, 0)).SelectMany(l => l).ToList();
            case "%" when a is string format:
                return Formatted(format, b is TupleObject values ? values : [b]);
        }

        if (TemplateValues.Number(a) is not { } m || TemplateValues.Number(b) is not { } o)
        {
            throw new ChatTemplateException($"'{op}' cannot be done with {TemplateValues.TypeOf(a)} and {TemplateValues.TypeOf(b)}");
        }

        if (a is not double && b is not double)
        {
            return Whole(op, TemplateValues.Whole(a), TemplateValues.Whole(b));
        }

        return op switch
        {
            "+" => m + o,
            "-" => m - o,
            "*" => m * o,
            "**" => Math.Pow(m, o),
            _ when o == 0 => throw new ChatTemplateException("a division by zero"),
            "/" => m / o,
            "//" => Math.Floor(m / o),
            _ => m - (Math.Floor(m / o) * o),
        };
    }

    public static bool Compare(string op, object? a, object? b) => op switch
    {
        "==" => TemplateValues.Equals(a, b),
        "!=" => !TemplateValues.Equals(a, b),
        "in" => In(a, b),
        "not in" => !In(a, b),
        _ when a is Undefined u => throw new ChatTemplateException(u.What),
        _ when b is Undefined u => throw new ChatTemplateException(u.What),
        "<" => TemplateValues.Compare(a, b) < 0,
        "<=" => TemplateValues.Compare(a, b) <= 0,
        ">" => TemplateValues.Compare(a, b) > 0,
        _ => TemplateValues.Compare(a, b) >= 0,
    };

    public static bool In(object? a, object? b) => b switch
    {
        string s => a is string part ? s.Contains(part, StringComparison.Ordinal) : throw new ChatTemplateException($"{TemplateValues.TypeOf(a)} cannot be in a str"),
        DictObject d => a is not null && d.ContainsKey(a),
        _ => TemplateValues.Iterate(b).Any(item => TemplateValues.Equals(item, a)),
    };

    // The conversions that templates use: %s %d %i %f %r %x %%, with width and precision.
    public static string Formatted(string format, List<object?> values)
    {
        var next = 0;
        return System.Text.RegularExpressions.Regex.Replace(format, @"%(?<flags>[-0+ ]*)(?<width>\d{0,4})(?:\.(?<precision>\d{1,3}))?(?<kind>[a-zA-Z%])", match =>
        {
            var kind = match.Groups["kind"].Value;
            if (kind == "%")
            {
                return "%";
            }

            var value = next < values.Count ? values[next++] : throw new ChatTemplateException("a format has more places than values");
            var precision = match.Groups["precision"].Success ? int.Parse(match.Groups["precision"].Value, System.Globalization.CultureInfo.InvariantCulture) : -1;
            var text = kind switch
            {
                "s" => TemplateValues.Text(value),
                "r" => TemplateValues.Repr(value),
                "d" or "i" => (value is double d ? new BigInteger(Math.Truncate(d)) : TemplateValues.Whole(value)).ToString(System.Globalization.CultureInfo.InvariantCulture),
                "f" or "F" => (TemplateValues.Number(value) ?? throw new ChatTemplateException($"{TemplateValues.TypeOf(value)} is no number")).ToString("F" + (precision < 0 ? 6 : precision), System.Globalization.CultureInfo.InvariantCulture),
                "x" => TemplateValues.Whole(value).ToString("x", System.Globalization.CultureInfo.InvariantCulture).TrimStart('0') is { Length: > 0 } hex ? hex : "0",
                _ => throw new ChatTemplateException($"the format %{kind} is not known"),
            };
            var width = match.Groups["width"].Value is { Length: > 0 } w ? int.Parse(w, System.Globalization.CultureInfo.InvariantCulture) : 0;
            var flags = match.Groups["flags"].Value;
            return flags.Contains('-', StringComparison.Ordinal) ? text.PadRight(width) : flags.Contains('0', StringComparison.Ordinal) && kind != "s" ? text.PadLeft(width, '0') : text.PadLeft(width);
        });
    }

    private static object Whole(string op, BigInteger a, BigInteger b)
    {
        switch (op)
        {
            case "+":
                return a + b;
            case "-":
                return a - b;
            case "*":
                return a.GetBitLength() + b.GetBitLength() <= MostBits ? a * b : throw new ChatTemplateException("a number is too large");
            case "**" when b < 0:
                return Math.Pow((double)a, (double)b);
            case "**":
                return b <= MostExponent && a.GetBitLength() * (long)b <= MostBits ? BigInteger.Pow(a, (int)b) : throw new ChatTemplateException("a number is too large");
        }

        if (b.IsZero)
        {
            throw new ChatTemplateException("a division by zero");
        }

        var quotient = BigInteger.DivRem(a, b, out var rest);
        var down = !rest.IsZero && rest.Sign != b.Sign;
        return op switch
        {
            "/" => (double)a / (double)b,
            "//" => down ? quotient - 1 : quotient,
            _ => down ? rest + b : rest,
        };
    }

    private static string Repeated(string text, BigInteger count, TemplateLimits limits)
    {
        if (count <= 0)
        {
            return "";
        }

        return text.Length * count <= limits.Characters ? string.Concat(Enumerable.Repeat(text, (int)count)) : throw new ChatTemplateException($"a text has more than {limits.Characters} characters");
    }

    private static void Require(long entries, TemplateLimits limits)
    {
        if (entries > limits.Entries)
        {
            throw new ChatTemplateException($"a list has more than {limits.Entries} entries");
        }
    }
}
