using System.Buffers;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Unicode;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tasks;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary>What a value of a type looks like on the wire, for messages.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct)]
internal sealed class ExpectedAttribute(string description) : Attribute
{
    /// <summary>Such as <c>a text or a list of texts</c>.</summary>
    public string Description { get; } = description;
}

/// <summary>
/// Says what is wrong with a body that the serializer refused: not JSON at all (line and position), an unknown field (with the nearest known
/// one), a repeated or missing field, or a value of the wrong form (what was expected, what came). Runs only for refused bodies.
/// </summary>
internal static class JsonDiagnosis
{
    /// <summary>What is said of texts that are no Unicode.</summary>
    public const string BrokenText = "holds half of a surrogate pair, or bytes that are not UTF-8; send whole characters.";

    private const int MaxShown = 60;
    private const int MostForDocument = 1 << 20; // bytes

    /// <summary>The error to answer.</summary>
    public static RequestException Explain(JsonException error, ReadOnlySequence<byte> body, Type type)
    {
        if (body.Length > MostForDocument)
        {
            return ExplainLarge(error, body, type);
        }

        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = WireJson.MaxDepth });
        }
        catch (JsonException syntax)
        {
            return Malformed(null, Syntax(syntax, body));
        }

        using (document)
        {
            try
            {
                return Find(document.RootElement, type, "") ?? Malformed(Field(error.Path), Own(error));
            }
            catch (InvalidOperationException)
            {
                return NotUnicode(Field(error.Path)); // a name or a value that cannot be shown
            }
        }
    }

    // A document takes many times the bytes of its body: a large one is said what its first reading found.
    private static RequestException ExplainLarge(JsonException error, ReadOnlySequence<byte> body, Type type)
    {
        if (error is InputErrors inputs)
        {
            var prefix = InputsOf(body, type);
            return Refusal([.. inputs.Errors.Select(e => new ProblemError(prefix + e.At, $"'{prefix + e.At}' {e.Message}"))])!;
        }

        var field = Field(error.Path);
        var own = Own(error);
        return own.Contains("could not be mapped to any .NET member", StringComparison.Ordinal) ? Malformed(Shorten(field), $"'{Shorten(field)}' is not a field of this request; its fields are {string.Join(", ", Fields(type))}.")
            : own.Contains(nameof(InferenceServer), StringComparison.Ordinal) || own.Contains("System.", StringComparison.Ordinal) ? Malformed(Shorten(field), $"{(field.Length == 0 ? "The body" : $"'{Shorten(field)}'")} has another form than this request takes: a value is missing, given twice, or of the wrong kind.")
            : Malformed(Shorten(field), Syntax(error, body));
    }

    // The name of the inputs that cannot be read.
    private static string InputsOf(ReadOnlySequence<byte> body, Type type)
    {
        var properties = Properties(type);
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = WireJson.MaxDepth });
        var name = "";
        try
        {
            for (reader.Read(); reader.Read() && reader.TokenType == JsonTokenType.PropertyName;)
            {
                name = reader.GetString()!;
                reader.Read();
                if (properties.TryGetValue(name, out var property) && property.PropertyType == typeof(InputList))
                {
                    JsonSerializer.Deserialize<InputList>(ref reader, WireJson.Requests);
                }
                else
                {
                    reader.Skip();
                }
            }
        }
        catch (JsonException)
        {
            return name;
        }

        return "";
    }

    /// <summary>Reads a part of a body.</summary>
    /// <exception cref="RequestException">It does not fit; the message names the field by its path from <paramref name="path"/>.</exception>
    public static T Read<T>(JsonElement element, string path) => (T)Read(element, typeof(T), path);

    /// <summary>Reads a part of a body.</summary>
    /// <exception cref="RequestException">It does not fit; the message names the field by its path from <paramref name="path"/>.</exception>
    public static object Read(JsonElement element, Type type, string path)
    {
        try
        {
            return element.Deserialize(type, WireJson.Requests) ?? throw Malformed(path, Wrong(path, type, null, element).Detail);
        }
        catch (JsonException e)
        {
            RequestException refusal;
            try
            {
                refusal = Find(element, type, path) ?? Malformed(Join(path, Field(e.Path)), Own(e));
            }
            catch (InvalidOperationException)
            {
                refusal = NotUnicode(path);
            }

            throw refusal;
        }
        catch (InvalidOperationException)
        {
            throw NotUnicode(path);
        }
    }

    /// <summary>A part of a body that is read later, once it is sure that its texts can be read; null when it is missing or null.</summary>
    /// <exception cref="RequestException">It holds bytes that are not UTF-8, or half of a surrogate pair.</exception>
    public static JsonElement? Readable(JsonElement? part, string field)
    {
        if (part is not { ValueKind: not JsonValueKind.Null } given)
        {
            return null;
        }

        var raw = JsonMarshal.GetRawUtf8Value(given);
        if (Utf8.IsValid(raw) && raw.IndexOf("\\u"u8) < 0)
        {
            return given;
        }

        try
        {
            RequireTexts(given);
            return given;
        }
        catch (InvalidOperationException)
        {
            throw NotUnicode(field);
        }
    }

    private static void RequireTexts(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                element.GetString();
                break;
            case JsonValueKind.Array:
                foreach (var item in element.EnumerateArray())
                {
                    RequireTexts(item);
                }

                break;
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject())
                {
                    _ = member.Name;
                    RequireTexts(member.Value);
                }

                break;
        }
    }

    /// <summary>The wire names of a record's fields.</summary>
    public static IEnumerable<string> Fields(Type type) => Properties(type).Keys;

    private static RequestException NotUnicode(string? field) => Malformed(field is { Length: > 0 } ? field : null, $"The body {BrokenText}");

    private static string Syntax(JsonException error, ReadOnlySequence<byte> body)
    {
        if (body.IsEmpty)
        {
            return "The body is empty; expected a JSON object.";
        }

        if (error.Message.Contains("maximum configured depth", StringComparison.Ordinal))
        {
            return $"The body is nested deeper than {WireJson.MaxDepth} levels; no request needs that many.";
        }

        return string.Create(CultureInfo.InvariantCulture, $"The body is not valid JSON, at line {error.LineNumber + 1}, byte {error.BytePositionInLine + 1}: {Own(error)}");
    }

    /// <summary>The serializer's own words, without the position that it appends.</summary>
    private static string Own(JsonException error)
    {
        var message = error.Message;
        foreach (var mark in (string[])[" Path: ", " LineNumber: "])
        {
            var at = message.IndexOf(mark, StringComparison.Ordinal);
            message = at < 0 ? message : message[..at];
        }

        return message;
    }

    /// <summary>Everything in <paramref name="element"/> that does not fit <paramref name="type"/>, in one error; null when nothing is found.</summary>
    private static RequestException? Find(JsonElement element, Type type, string path)
    {
        var found = new List<ProblemError>();
        Search(element, type, path, found);
        return Refusal(found);
    }

    private static RequestException? Refusal(List<ProblemError> found) =>
        found.Count switch
        {
            0 => null,
            1 => Malformed(found[0].Field, found[0].Detail),
            _ => new RequestException(
                ErrorCode.Malformed,
                $"{found.Count}{(found.Count == InferenceException.MaxErrors ? " or more" : "")} fields cannot be read: {string.Join(", ", found.Select(error => error.Field.Length == 0 ? "the body" : error.Field))}. {found[0].Detail}",
                found[0].Field.Length == 0 ? null : found[0].Field)
            { Errors = found },
        };

    private static void Search(JsonElement element, Type type, string path, List<ProblemError> found)
    {
        if (found.Count >= InferenceException.MaxErrors)
        {
            return;
        }

        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.GetCustomAttribute<ExpectedAttribute>() is not null)
        {
            Check(element, type, path, found);
            return;
        }

        if (IsRecord(type))
        {
            if (element.ValueKind == JsonValueKind.Object)
            {
                SearchObject(element, type, path, found);
            }
            else
            {
                found.Add(Wrong(path, type, null, element));
            }

            return;
        }

        if (Element(type) is { } itemType && element.ValueKind == JsonValueKind.Array)
        {
            var index = 0;
            foreach (var item in element.EnumerateArray())
            {
                if (found.Count >= InferenceException.MaxErrors)
                {
                    return;
                }

                if (item.ValueKind == JsonValueKind.Null)
                {
                    found.Add(Wrong($"{path}[{index}]", itemType, null, item));
                }
                else if (!Fits(item, itemType))
                {
                    Search(item, itemType, $"{path}[{index}]", found);
                }

                index++;
            }

            return;
        }

        Check(element, type, path, found);
    }

    /// <summary>The quick answer for what long lists hold: a body of millions of entries must not cost seconds to refuse.</summary>
    private static bool Fits(JsonElement item, Type type)
    {
        if (type == typeof(int))
        {
            return item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out _);
        }

        if (type != typeof(string) || item.ValueKind != JsonValueKind.String)
        {
            return false;
        }

        try
        {
            return item.GetString() is not null;
        }
        catch (InvalidOperationException)
        {
            return false; // half of a surrogate pair
        }
    }

    private static void SearchObject(JsonElement element, Type type, string path, List<ProblemError> found)
    {
        var properties = Properties(type);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var member in element.EnumerateObject())
        {
            if (found.Count >= InferenceException.MaxErrors)
            {
                return;
            }

            var inner = path.Length == 0 ? member.Name : $"{path}.{member.Name}";
            if (!properties.TryGetValue(member.Name, out var property))
            {
                var name = Shorten(member.Name);
                found.Add(new(path.Length == 0 ? name : $"{path}.{name}", $"'{name}' is not a field of {(path.Length == 0 ? "this request" : $"'{path}'")}. {NearestName.Suggest(member.Name, properties.Keys, "fields")}"));
                continue;
            }

            if (!seen.Add(member.Name))
            {
                found.Add(new(inner, $"The field '{inner}' is given more than once; give it once."));
                continue;
            }

            if (member.Value.ValueKind == JsonValueKind.Null)
            {
                if (!TakesNull(property))
                {
                    found.Add(Wrong(inner, property.PropertyType, property, member.Value));
                }

                continue;
            }

            Search(member.Value, property.PropertyType, inner, found);
        }

        foreach (var (name, property) in properties)
        {
            if (IsRequired(property) && !seen.Contains(name) && found.Count < InferenceException.MaxErrors)
            {
                var inner = path.Length == 0 ? name : $"{path}.{name}";
                found.Add(new(inner, $"The field '{inner}' is missing; expected {Expected(property.PropertyType, property)}."));
            }
        }
    }

    /// <summary>Asks the serializer itself whether the value fits.</summary>
    private static void Check(JsonElement element, Type type, string path, List<ProblemError> found)
    {
        try
        {
            element.Deserialize(type, WireJson.Requests);
        }
        catch (JsonException) when (type.IsEnum && element.ValueKind == JsonValueKind.String)
        {
            var text = Shown(element);
            found.Add(new(path, $"'{path}' is {text}. {NearestName.Suggest(text.Trim('"'), [.. WireJson.Names(type)], "values")}"));
        }
        catch (InputErrors e)
        {
            found.AddRange(e.Errors.Take(InferenceException.MaxErrors - found.Count).Select(error => new ProblemError(path + error.At, $"'{path + error.At}' {error.Message}")));
        }
        catch (JsonException e)
        {
            // A converter's own message is better than a general one; the serializer's are recognised by the type they name.
            var own = Own(e);
            found.Add(own.StartsWith("The JSON value could not be converted", StringComparison.Ordinal) || own.Contains("System.", StringComparison.Ordinal)
                ? Wrong(path, type, null, element)
                : new(Join(path, Field(e.Path)), $"'{Join(path, Field(e.Path))}' {own}"));
        }
    }

    private static ProblemError Wrong(string path, Type type, PropertyInfo? property, JsonElement got)
    {
        var what = got.ValueKind switch
        {
            JsonValueKind.String => "the text " + Shown(got),
            JsonValueKind.Number => $"the number {Shorten(got.GetRawText())}",
            JsonValueKind.True or JsonValueKind.False => got.GetRawText(),
            JsonValueKind.Null => "null",
            JsonValueKind.Array => "a list",
            _ => "an object",
        };
        if (type == typeof(string) && got.ValueKind == JsonValueKind.String)
        {
            return new(path, $"'{path}' {BrokenText}");
        }

        return new(path, $"{(path.Length == 0 ? "The body" : $"'{path}'")} must be {Expected(type, property)}, not {what}.");
    }

    private static string Expected(Type type, PropertyInfo? property)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.GetCustomAttribute<ExpectedAttribute>() is { } expected)
        {
            return expected.Description;
        }

        var range = property?.GetCustomAttribute<RangeAttribute>();
        return type switch
        {
            _ when type == typeof(string) => "a text",
            _ when type == typeof(bool) => "true or false",
            _ when type == typeof(int) || type == typeof(long) => range is null ? "a whole number" : string.Create(CultureInfo.InvariantCulture, $"a whole number from {range.Minimum} to {range.Maximum}"),
            _ when type == typeof(float) || type == typeof(double) => "a number",
            _ when type.IsEnum => "one of " + string.Join(", ", WireJson.Names(type)),
            _ when Element(type) is { } item => Element(item) is not null ? "a list of lists of whole numbers" : item == typeof(string) ? "a list of texts" : item == typeof(int) ? "a list of whole numbers" : "a list",
            _ => $"an object with the fields {string.Join(", ", Fields(type))}",
        };
    }

    private static bool IsRecord(Type type) => type.IsClass && !type.IsArray && type.Namespace?.StartsWith(nameof(InferenceServer), StringComparison.Ordinal) == true;

    /// <summary>The type of a list's elements, or null when it is no list.</summary>
    private static Type? Element(Type type) =>
        type.IsArray ? type.GetElementType() : type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyList<>) ? type.GetGenericArguments()[0] : null;

    private static bool TakesNull(PropertyInfo property) => property.PropertyType.IsValueType
        ? Nullable.GetUnderlyingType(property.PropertyType) is not null || property.PropertyType == typeof(JsonElement)
        : new NullabilityInfoContext().Create(property).WriteState != NullabilityState.NotNull;

    private static bool IsRequired(PropertyInfo property) => property.IsDefined(typeof(System.Runtime.CompilerServices.RequiredMemberAttribute));

    private static Dictionary<string, PropertyInfo> Properties(Type type) => type
        .GetProperties(BindingFlags.Public | BindingFlags.Instance)
        .Where(p => p.SetMethod is { IsPublic: true } && p.DeclaringType != typeof(PredictionRequest)) // the inputs stand beside the parameters, not among them
        .ToDictionary(p => p.GetCustomAttribute<JsonPropertyNameAttribute>()?.Name ?? JsonNamingPolicy.SnakeCaseLower.ConvertName(p.Name), StringComparer.Ordinal);

    private static string Join(string path, string inner) => path.Length == 0 || inner.Length == 0 || inner[0] == '[' ? path + inner : $"{path}.{inner}";

    private static string Field(string? path) => path is null or "$" ? "" : path.StartsWith("$.", StringComparison.Ordinal) ? path[2..] : path[1..];

    /// <summary>A text in quotation marks; as it came when it cannot be read as text.</summary>
    private static string Shown(JsonElement text)
    {
        try
        {
            return $"\"{Shorten(text.GetString()!)}\"";
        }
        catch (InvalidOperationException)
        {
            return Shorten(text.GetRawText());
        }
    }

    private static string Shorten(string text) => text.Length <= MaxShown ? text : text[..MaxShown] + "...";

    private static RequestException Malformed(string? field, string message) => new(ErrorCode.Malformed, message, string.IsNullOrEmpty(field) ? null : field);
}
