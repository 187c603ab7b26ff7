using System.Text;

namespace InferenceServer.TestSupport.Fuzz;

/// <summary>Configuration and tokenizer files changed as JSON, as bytes, or as text that no JSON library writes. The same number gives the same change.</summary>
public static class FileMutation
{
    /// <summary>Whether a file of a model folder is one of those that are changed.</summary>
    public static bool IsChanged(string file) => Path.GetExtension(file) is ".json" or ".txt" or ".spm" or ".model" && !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal);

    /// <summary>One changed file.</summary>
    public static byte[] Of(string path, int number)
    {
        var random = new Random(number);
        if (Path.GetExtension(path) != ".json")
        {
            var bytes = File.ReadAllBytes(path);
            return random.Next(4) == 0 && Path.GetExtension(path) == ".txt" ? Written(Encoding.UTF8.GetString(bytes), random) : Mutation.Bytes(bytes, random);
        }

        var text = File.ReadAllText(path);
        return random.Next(3) == 0 ? Written(text, random) : Mutation.Of(text, number);
    }

    private static byte[] Written(string text, Random random)
    {
        var utf8 = Encoding.UTF8.GetBytes(text);
        var at = random.Next(text.Length + 1);
        return random.Next(9) switch
        {
            0 => [.. Encoding.UTF8.Preamble, .. utf8],
            1 => [.. Encoding.Unicode.Preamble, .. Encoding.Unicode.GetBytes(text)],
            2 => Encoding.BigEndianUnicode.GetBytes(text),
            3 => [.. utf8[..(utf8.Length / 2)], 0xED, 0xA0, 0x80, 0xFF, .. utf8[(utf8.Length / 2)..]], // a surrogate and a byte that UTF-8 never has
            4 => Encoding.UTF8.GetBytes(Instead(text, random, string.Concat(Enumerable.Repeat("[", 5000)) + string.Concat(Enumerable.Repeat("]", 5000)))),
            5 => Encoding.UTF8.GetBytes(Instead(text, random, "\"" + new string('x', 2_000_000) + "\"")),
            6 => Encoding.UTF8.GetBytes(Instead(text, random, random.Next(4) switch { 0 => "1e400", 1 => "9223372036854775808", 2 => "-1e-400", _ => "\"\\ud800\"" })),
            7 => Encoding.UTF8.GetBytes(Instead(text, random, "null")),
            _ => Encoding.UTF8.GetBytes(text[..at] + text[random.Next(text.Length + 1)..]),
        };
    }

    // Another value after one of the colons.
    private static string Instead(string text, Random random, string value)
    {
        var colons = Enumerable.Range(0, text.Length).Where(i => text[i] == ':').ToList();
        if (colons.Count == 0)
        {
            return value;
        }

        var from = colons[random.Next(colons.Count)] + 1;
        var to = text.IndexOfAny([',', '}', '\n'], from);
        return text[..from] + value + (to < 0 ? "" : text[to..]);
    }
}
