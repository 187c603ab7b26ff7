using System.Text.Json;
using System.Text.Unicode;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization;

/// <summary>
/// A value of a JSON file with its path, so that every complaint says where: <c>tokenizer.json: $.model.vocab: ...</c>.
/// </summary>
internal readonly struct JsonPart(string file, string path, JsonElement element)
{
    private const int Deepest = 64;

    /// <summary>Name of the file, without its folder.</summary>
    public string File { get; } = file;

    /// <summary>Path of the value, <c>$</c> for the whole document.</summary>
    public string Path { get; } = path;

    /// <summary>The value.</summary>
    public JsonElement Element { get; } = element;

    /// <summary>What kind of value it is.</summary>
    public JsonValueKind Kind => Element.ValueKind;

    /// <summary>True for null (a missing optional member reads as null as well).</summary>
    public bool IsNull => Kind is JsonValueKind.Null or JsonValueKind.Undefined;

    /// <summary>Parses a file.</summary>
    /// <exception cref="ModelLoadException">The file cannot be read or is not JSON.</exception>
    public static JsonDocument Parse(string file, ReadOnlyMemory<byte> utf8)
    {
        if (utf8.Span.StartsWith("\uFEFF"u8))
        {
            utf8 = utf8[3..];
        }

        if (!Utf8.IsValid(utf8.Span))
        {
            throw new ModelLoadException($"{file}: $: this is not UTF-8 text; download the file again.");
        }

        try
        {
            return JsonDocument.Parse(utf8, new JsonDocumentOptions { MaxDepth = Deepest });
        }
        catch (JsonException e) when (e.Message.Contains("maximum configured depth", StringComparison.Ordinal))
        {
            throw new ModelLoadException($"{file}: $: this is nested deeper than {Deepest} levels (line {e.LineNumber + 1}); is it the right file?", e);
        }
        catch (JsonException e)
        {
            throw new ModelLoadException($"{file}: $: this is not valid JSON (line {e.LineNumber + 1}, byte {e.BytePositionInLine}); download the file again.", e);
        }
    }

    /// <summary>The complaint that this value is wrong.</summary>
    public ModelLoadException Error(string message) => new($"{File}: {Path}: {message}");

    /// <summary>The complaint about the member <paramref name="name"/>.</summary>
    public ModelLoadException Error(string name, string message) => new($"{File}: {Path}.{name}: {message}");

    /// <summary>The complaint that the type of a part is not known here.</summary>
    public ModelLoadException Unsupported(string name, string value) =>
        Error(name, $"'{(value.Length > 80 ? value[..80] + "..." : value)}' is not supported; this model cannot be tokenised exactly, so it is not served.");

    /// <summary>The member <paramref name="name"/>, which must be there (it may be null).</summary>
    public JsonPart Member(string name)
    {
        ExpectObject();
        return TryGet(name, out var member) ? member : throw Error(name, "is missing.");
    }

    /// <summary>The member <paramref name="name"/>; <see cref="IsNull"/> when it is null or missing.</summary>
    public JsonPart Optional(string name)
    {
        ExpectObject();
        return TryGet(name, out var member) ? member : new JsonPart(File, $"{Path}.{name}", default);
    }

    /// <summary>Whether the object has the member, null included.</summary>
    public bool Has(string name) => Kind == JsonValueKind.Object && Element.TryGetProperty(name, out _);

    /// <summary>The required string member <paramref name="name"/>.</summary>
    public string String(string name) => Member(name).AsString();

    /// <summary>The string member <paramref name="name"/>, or null when it is null or missing.</summary>
    public string? OptionalString(string name)
    {
        var member = Optional(name);
        return member.IsNull ? null : member.AsString();
    }

    /// <summary>The required boolean member <paramref name="name"/>.</summary>
    public bool Bool(string name) => Member(name).AsBool();

    /// <summary>The boolean member <paramref name="name"/>, or <paramref name="fallback"/> when it is missing; null is an error, as in the reference.</summary>
    public bool Bool(string name, bool fallback) => Has(name) ? Member(name).AsBool() : fallback;

    /// <summary>The required integer member <paramref name="name"/> within [<paramref name="min"/>, <paramref name="max"/>].</summary>
    public int Int(string name, int min = 0, int max = int.MaxValue) => Member(name).AsInt(min, max);

    /// <summary>The integer member <paramref name="name"/>, or null when it is null or missing.</summary>
    public int? OptionalInt(string name, int min = 0, int max = int.MaxValue)
    {
        var member = Optional(name);
        return member.IsNull ? null : member.AsInt(min, max);
    }

    /// <summary>The items of the required array member <paramref name="name"/>.</summary>
    public IEnumerable<JsonPart> Items(string name) => Member(name).AsItems();

    /// <summary>This value as a string.</summary>
    public string AsString()
    {
        if (Kind != JsonValueKind.String)
        {
            throw Error($"must be a string, not {Describe()}.");
        }

        try
        {
            return Element.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            // An escaped lone surrogate: no text.
            throw new ModelLoadException($"{File}: {Path}: is a string that holds half a character (a lone surrogate).", e);
        }
    }

    /// <summary>This value as a string that is one Unicode scalar (a Rust <c>char</c>).</summary>
    public System.Text.Rune AsRune()
    {
        var text = AsString();
        return text.Length > 0 && System.Text.Rune.TryGetRuneAt(text, 0, out var rune) && rune.Utf16SequenceLength == text.Length
            ? rune
            : throw Error("must be a single character.");
    }

    /// <summary>This value as a boolean.</summary>
    public bool AsBool() => Kind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Error($"must be true or false, not {Describe()}."),
    };

    /// <summary>This value as an integer within [<paramref name="min"/>, <paramref name="max"/>].</summary>
    public int AsInt(int min = 0, int max = int.MaxValue) =>
        Kind == JsonValueKind.Number && Element.TryGetInt32(out var value) && value >= min && value <= max
            ? value
            : throw Error($"must be a whole number from {min} to {max}, not {Describe()}.");

    /// <summary>This value as a number.</summary>
    public double AsDouble() =>
        Kind == JsonValueKind.Number && Element.TryGetDouble(out var value) && double.IsFinite(value)
            ? value
            : throw Error($"must be a number, not {Describe()}.");

    /// <summary>The items of this array.</summary>
    public IEnumerable<JsonPart> AsItems()
    {
        if (Kind != JsonValueKind.Array)
        {
            throw Error($"must be a list, not {Describe()}.");
        }

        return Enumerate(this);

        static IEnumerable<JsonPart> Enumerate(JsonPart part)
        {
            var i = 0;
            foreach (var item in part.Element.EnumerateArray())
            {
                yield return new JsonPart(part.File, $"{part.Path}[{i++}]", item);
            }
        }
    }

    /// <summary>The members of this object, in the file's order.</summary>
    public JsonElement.ObjectEnumerator AsMembers()
    {
        ExpectObject();
        return Element.EnumerateObject();
    }

    /// <summary>A member's value as a part of its own.</summary>
    public JsonPart Of(JsonProperty member) => new(File, $"{Path}['{member.Name}']", member.Value);

    /// <summary>What the value is, for a complaint.</summary>
    public string Describe() => Kind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => Element.GetRawText() is { Length: <= 24 } raw ? raw : "a number",
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        _ => "null",
    };

    private void ExpectObject()
    {
        if (Kind != JsonValueKind.Object)
        {
            throw Error($"must be an object, not {Describe()}.");
        }
    }

    private bool TryGet(string name, out JsonPart member)
    {
        if (Element.TryGetProperty(name, out var value))
        {
            member = new JsonPart(File, $"{Path}.{name}", value);
            return true;
        }

        member = default;
        return false;
    }
}
