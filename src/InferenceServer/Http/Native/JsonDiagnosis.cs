using System.Buffers;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;
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

    /// <summary>The error to answer.</summary>
    public static RequestException Explain(JsonException error, ReadOnlySequence<byte> body, Type type)
    {
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
            return Find(document.RootElement, type, "") ?? Malformed(Field(error.Path), Own(error));
        }
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
            return element.Deserialize(type, WireJson.Requests) ?? throw Wrong(path, type, null, element);
        }
        catch (JsonException e)
        {
            throw Find(element, type, path) ?? Malformed(Join(path, Field(e.Path)), Own(e));
        }
    }

    /// <summary>The wire names of a record's fields.</summary>
    public static IEnumerable<string> Fields(Type type) => Properties(type).Keys;

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

    /// <summary>The first thing in <paramref name="element"/> that does not fit <paramref name="type"/>, or null.</summary>
    private static RequestException? Find(JsonElement element, Type type, string path)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.GetCustomAttribute<ExpectedAttribute>() is not null)
        {
            return Check(element, type, path);
        }

        if (IsRecord(type))
        {
            return element.ValueKind == JsonValueKind.Object ? FindInObject(element, type, path) : Wrong(path, type, null, element);
        }

        if (Element(type) is { } itemType && element.ValueKind == JsonValueKind.Array)
        {
            var index = 0;
            foreach (var item in element.EnumerateArray())
            {
                if (!Fits(item, itemType) && (item.ValueKind == JsonValueKind.Null ? Wrong($"{path}[{index}]", itemType, null, item) : Find(item, itemType, $"{path}[{index}]")) is { } wrong)
                {
                    return wrong;
                }

                index++;
            }

            return null;
        }

        return Check(element, type, path);
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

    private static RequestException? FindInObject(JsonElement element, Type type, string path)
    {
        var properties = Properties(type);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var member in element.EnumerateObject())
        {
            var inner = path.Length == 0 ? member.Name : $"{path}.{member.Name}";
            if (!properties.TryGetValue(member.Name, out var property))
            {
                var name = Shorten(member.Name);
                return Malformed(path.Length == 0 ? name : $"{path}.{name}", $"'{name}' is not a field of {(path.Length == 0 ? "this request" : $"'{path}'")}. {NearestName.Suggest(member.Name, properties.Keys, "fields")}");
            }

            if (!seen.Add(member.Name))
            {
                return Malformed(inner, $"The field '{inner}' is given more than once; give it once.");
            }

            if (member.Value.ValueKind == JsonValueKind.Null)
            {
                if (!TakesNull(property))
                {
                    return Wrong(inner, property.PropertyType, property, member.Value);
                }

                continue;
            }

            if (Find(member.Value, property.PropertyType, inner) is { } wrong)
            {
                return wrong;
            }
        }

        foreach (var (name, property) in properties)
        {
            if (IsRequired(property) && !seen.Contains(name))
            {
                var inner = path.Length == 0 ? name : $"{path}.{name}";
                return Malformed(inner, $"The field '{inner}' is missing; expected {Expected(property.PropertyType, property)}.");
            }
        }

        return null;
    }

    /// <summary>Asks the serializer itself whether the value fits.</summary>
    private static RequestException? Check(JsonElement element, Type type, string path)
    {
        try
        {
            element.Deserialize(type, WireJson.Requests);
            return null;
        }
        catch (JsonException) when (type.IsEnum && element.ValueKind == JsonValueKind.String)
        {
            var text = Shown(element);
            return Malformed(path, $"'{path}' is {text}. {NearestName.Suggest(text.Trim('"'), [.. WireJson.Names(type)], "values")}");
        }
        catch (JsonException e)
        {
            // A converter's own message is better than a general one; the serializer's are recognised by the type they name.
            var own = Own(e);
            return own.StartsWith("The JSON value could not be converted", StringComparison.Ordinal) || own.Contains("System.", StringComparison.Ordinal)
                ? Wrong(path, type, null, element)
                : Malformed(Join(path, Field(e.Path)), $"'{Join(path, Field(e.Path))}' {own}");
        }
    }

    private static RequestException Wrong(string path, Type type, PropertyInfo? property, JsonElement got)
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
            return Malformed(path, $"'{path}' {BrokenText}");
        }

        return Malformed(path.Length == 0 ? null : path, $"{(path.Length == 0 ? "The body" : $"'{path}'")} must be {Expected(type, property)}, not {what}.");
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
