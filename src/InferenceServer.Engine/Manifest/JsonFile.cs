using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Unicode;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>JSON files of a model folder, read with bounds and with messages that say where they are wrong.</summary>
internal static class JsonFile
{
    /// <summary>Largest file: the largest config.json known (tens of thousands of labels) is below 4 MB.</summary>
    private const long MostBytes = 32L << 20;

    private const int Deepest = 64;

    /// <summary>Reads a file of the folder; null when it is absent.</summary>
    /// <exception cref="ModelLoadException">The file is outside the folder, too large, or not valid JSON.</exception>
    public static JsonElement? Read(string folder, string relative)
    {
        if (!FolderFiles.IsInside(folder, relative, out _))
        {
            throw new ModelLoadException($"{relative} leads outside the model's folder. Put the file itself into the folder.");
        }

        return FolderFiles.Read(folder, relative, MostBytes) is { } bytes ? Parse(bytes, relative) : null;
    }

    /// <summary>Reads a file of the folder that holds an object; null when it is absent.</summary>
    public static JsonElement? ReadObject(string folder, string relative)
    {
        var element = Read(folder, relative);
        return element is null or { ValueKind: JsonValueKind.Object }
            ? element
            : throw new ModelLoadException($"{relative} holds {Kind(element.Value)} where an object {{...}} belongs. Download the file again.");
    }

    /// <summary>Parses JSON text whose strings are all readable.</summary>
    public static JsonElement Parse(ReadOnlyMemory<byte> bytes, string file)
    {
        if (bytes.Span.StartsWith("\uFEFF"u8))
        {
            bytes = bytes[3..];
        }

        if (bytes.Span.TrimStart(" \t\r\n"u8).IsEmpty)
        {
            throw new ModelLoadException($"{file} is empty. Download the file again.");
        }

        if (!Utf8.IsValid(bytes.Span))
        {
            throw new ModelLoadException($"{file} is not UTF-8 text. Download the file again.");
        }

        try
        {
            RequireReadableStrings(bytes.Span, file);
            using var document = JsonDocument.Parse(bytes, new JsonDocumentOptions { MaxDepth = Deepest });
            return document.RootElement.Clone();
        }
        catch (JsonException e)
        {
            throw new ModelLoadException(
                e.Message.Contains("maximum configured depth", StringComparison.Ordinal) ? $"{file} is nested deeper than {Deepest} levels at line {e.LineNumber + 1}. Is it the right file?" :
                $"{file} is not valid JSON at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}: it is cut short or damaged. Download the file again.", e);
        }
    }

    /// <summary>The same as nodes; of a member that stands there twice the last counts, as in Python (nodes themselves refuse it when they are first read).</summary>
    public static JsonNode? ToNode(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                var o = new JsonObject();
                foreach (var member in element.EnumerateObject())
                {
                    o[member.Name] = ToNode(member.Value);
                }

                return o;
            case JsonValueKind.Array:
                return new JsonArray([.. element.EnumerateArray().Select(ToNode)]);
            default:
                return JsonValue.Create(element);
        }
    }

    public static string Kind(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        JsonValueKind.String => "a text",
        JsonValueKind.Number => $"the number {element.GetRawText()}",
        JsonValueKind.True or JsonValueKind.False => $"the value {element.GetRawText()}",
        _ => "null",
    };

    /// <summary>The same for what is parsed already.</summary>
    public static void RequireReadableStrings(JsonElement element, string file) => RequireReadableStrings(System.Text.Encoding.UTF8.GetBytes(element.GetRawText()), file);

    /// <summary>An escape of half a surrogate pair passes the parser and fails when the text is read: find it here, with its place.</summary>
    public static void RequireReadableStrings(ReadOnlySpan<byte> bytes, string file)
    {
        var reader = new Utf8JsonReader(bytes, new JsonReaderOptions { MaxDepth = Deepest });
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueIsEscaped)
            {
                try
                {
                    reader.GetString();
                }
                catch (InvalidOperationException e)
                {
                    throw new ModelLoadException($"{file} has a text at byte {reader.TokenStartIndex} that is no Unicode text (half of a surrogate pair). Download the file again.", e);
                }
            }
        }
    }
}
