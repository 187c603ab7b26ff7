using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.TestSupport.Fuzz;

/// <summary>JSON changed as careless and hostile writers change it: the structure, the values, or the bytes. The same number gives the same change.</summary>
public static class Mutation
{
    private const string LoneSurrogate = "LONE-SURROGATE"; // stands for what no JSON library writes

    private static readonly string[] Values =
    [
        "null", "true", "false", "0", "-1", "1", "1.5", "-0", "1e-9", "1e308", "1e400", "2147483647", "2147483648", "-2147483648", "9223372036854775807", "9223372036854775808", "123456789012345678901234567890",
        "\"\"", "\" \"", "\"a\"", "\"NaN\"", "\"" + LoneSurrogate + "\"", "\"\\u0000\"", "\"\\uFFFE\"", "\"../../etc/passwd\"", "\"[MASK]\"", "[]", "{}", "[[]]", "[null]", "[{}]", "{\"a\": 1}", "[1, \"a\"]", "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]",
    ];

    /// <summary>One changed document.</summary>
    public static byte[] Of(string json, int number)
    {
        var random = new Random(number);
        var node = JsonNode.Parse(json);
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            node = Change(node, random);
        }

        var text = node?.ToJsonString(new JsonSerializerOptions { MaxDepth = 1024 }) ?? "null";
        text = text.Replace(LoneSurrogate, "\\ud800", StringComparison.Ordinal);
        var bytes = Encoding.UTF8.GetBytes(random.Next(8) == 0 ? Twice(text, random) : text);
        return random.Next(4) == 0 ? Bytes(bytes, random) : bytes;
    }

    /// <summary>Bytes changed, cut, put in, repeated.</summary>
    public static byte[] Bytes(byte[] bytes, Random random)
    {
        var list = bytes.ToList();
        for (var i = random.Next(1, 4); i > 0 && list.Count > 0; i--)
        {
            var at = random.Next(list.Count);
            switch (random.Next(5))
            {
                case 0:
                    list[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    list.RemoveRange(at, Math.Min(list.Count - at, random.Next(1, 16)));
                    break;
                case 2:
                    list.InsertRange(at, Enumerable.Range(0, random.Next(1, 8)).Select(_ => (byte)random.Next(256)));
                    break;
                case 3:
                    list.RemoveRange(at, list.Count - at);
                    break;
                default:
                    list.InsertRange(at, list.GetRange(at, Math.Min(list.Count - at, random.Next(1, 200))));
                    break;
            }
        }

        return [.. list];
    }

    private static JsonNode? Change(JsonNode? root, Random random)
    {
        var places = new List<(JsonNode Parent, object Key)>();
        Collect(root, places, 0);
        if (places.Count == 0 || random.Next(40) == 0)
        {
            return Value(random);
        }

        var (parent, key) = places[random.Next(places.Count)];
        var old = parent is JsonObject o ? o[(string)key] : parent[(int)key];
        JsonNode? changed;
        switch (random.Next(8))
        {
            case 0: // gone
                if (parent is JsonObject from)
                {
                    from.Remove((string)key);
                }
                else
                {
                    parent.AsArray().RemoveAt((int)key);
                }

                return root;
            case 1 when parent is JsonObject named: // another name
                named.Remove((string)key);
                named[Name((string)key, random)] = old;
                return root;
            case 2: // in a list
                changed = new JsonArray(old?.DeepClone());
                break;
            case 3 when old is JsonArray { Count: > 0 and < 100 } list: // longer
                changed = new JsonArray([.. Enumerable.Range(0, random.Next(2, 400)).Select(i => list[i % list.Count]?.DeepClone())]);
                break;
            case 4 when old is JsonValue && old.GetValueKind() == JsonValueKind.String: // longer
                changed = string.Concat(Enumerable.Repeat((string)old!, random.Next(2, 200)));
                break;
            case 5 when places.Count > 1: // what stands elsewhere
                var (otherParent, otherKey) = places[random.Next(places.Count)];
                changed = (otherParent is JsonObject other ? other[(string)otherKey] : otherParent[(int)otherKey])?.DeepClone();
                break;
            default:
                changed = Value(random);
                break;
        }

        if (parent is JsonObject target)
        {
            target[(string)key] = changed;
        }
        else
        {
            parent[(int)key] = changed;
        }

        return root;
    }

    private static void Collect(JsonNode? node, List<(JsonNode Parent, object Key)> places, int depth)
    {
        if (depth > 12 || places.Count > 4000)
        {
            return;
        }

        switch (node)
        {
            case JsonObject o:
                foreach (var (name, child) in o)
                {
                    places.Add((o, name));
                    Collect(child, places, depth + 1);
                }

                break;
            case JsonArray a:
                for (var i = 0; i < a.Count; i++)
                {
                    places.Add((a, i));
                    Collect(a[i], places, depth + 1);
                }

                break;
        }
    }

    private static JsonNode? Value(Random random) => random.Next(10) == 0
        ? JsonValue.Create(random.Next(-1000, 100_000))
        : JsonNode.Parse(Values[random.Next(Values.Length)]);

    private static string Name(string name, Random random) => random.Next(4) switch
    {
        0 => name.ToUpperInvariant(),
        1 => name + "s",
        2 => "",
        _ => string.Create(CultureInfo.InvariantCulture, $"{name}{random.Next(10)}"),
    };

    // A member twice.
    private static string Twice(string text, Random random)
    {
        var at = text.IndexOf('{', StringComparison.Ordinal);
        var comma = text.IndexOf(',', StringComparison.Ordinal);
        return at < 0 || comma < at || random.Next(3) == 0 ? text + text : text[..(at + 1)] + text[(at + 1)..comma] + "," + text[(at + 1)..];
    }
}
