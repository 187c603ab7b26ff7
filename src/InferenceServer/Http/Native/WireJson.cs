using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;

namespace InferenceServer.Http.Native;

/// <summary>How JSON is read and written: snake_case, enumerations as their names, strict in what is read.</summary>
internal static class WireJson
{
    /// <summary>Deepest nesting of a request; the deepest that any request needs is 4.</summary>
    public const int MaxDepth = 16;

    /// <summary>Requests: unknown, repeated and missing fields are errors, numbers are numbers.</summary>
    public static JsonSerializerOptions Requests { get; } = Frozen(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        AllowDuplicateProperties = false,
        RespectNullableAnnotations = true,
        MaxDepth = MaxDepth,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false), new ListConverter<string[], string>(), new ListConverter<IReadOnlyList<string>, string>(), new ListConverter<int[][], int[]>() },
    });

    /// <summary>Answers: fields without a value are left out, letters stay letters (the content type says JSON, nothing embeds it in HTML).</summary>
    public static JsonSerializerOptions Answers { get; } = Frozen(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false), new PredictionConverter(), new VectorConverter() },
    });

    /// <summary>The wire names of an enumeration.</summary>
    public static IEnumerable<string> Names(Type enumeration) => Enum.GetNames(enumeration).Select(JsonNamingPolicy.SnakeCaseLower.ConvertName);

    /// <summary>The wire name of a value.</summary>
    public static string Name<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());

    private static JsonSerializerOptions Frozen(JsonSerializerOptions options)
    {
        options.TypeInfoResolver = new DefaultJsonTypeInfoResolver { Modifiers = { WithoutShared } };
        options.MakeReadOnly();
        return options;
    }

    /// <summary>The <c>parameters</c> of a prediction are the properties of its task's own record: what all predictions have stands beside them.</summary>
    private static void WithoutShared(JsonTypeInfo type)
    {
        if (type.Type.IsSubclassOf(typeof(PredictionRequest)))
        {
            foreach (var shared in typeof(PredictionRequest).GetProperties())
            {
                type.Properties.Remove(type.Properties.First(p => p.Name == JsonNamingPolicy.SnakeCaseLower.ConvertName(shared.Name)));
            }
        }
    }

    /// <summary>Lists of texts and of lists have no null among their entries: the serializer minds the annotations of fields, not those of entries.</summary>
    private sealed class ListConverter<TList, T> : JsonConverter<TList>
        where TList : class
        where T : class
    {
        public override TList Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            if (reader.TokenType != JsonTokenType.StartArray)
            {
                throw new JsonException();
            }

            // The converter itself: the serializer would look for each entry from the body's first byte on when the body came in many segments.
            var converter = (JsonConverter<T>)options.GetConverter(typeof(T));
            var entries = new List<T>();
            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                entries.Add(reader.TokenType == JsonTokenType.Null ? throw new JsonException() : converter.Read(ref reader, typeof(T), options)!);
            }

            return (TList)(object)entries.ToArray();
        }

        public override void Write(Utf8JsonWriter writer, TList value, JsonSerializerOptions options) => throw new NotSupportedException();
    }

    /// <summary>Predictions are written as what they are, without a mark of their type: the answer's <c>task</c> says it.</summary>
    private sealed class PredictionConverter : JsonConverter<PredictionResult>
    {
        public override bool CanConvert(Type typeToConvert) => typeToConvert == typeof(PredictionResult);

        public override PredictionResult Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, PredictionResult value, JsonSerializerOptions options) => JsonSerializer.Serialize(writer, value, value.GetType(), options);
    }

    /// <summary>Vectors are written as numbers.</summary>
    private sealed class VectorConverter : JsonConverter<EmbeddingVector>
    {
        public override EmbeddingVector Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, EmbeddingVector value, JsonSerializerOptions options) => value.WriteTo(writer);
    }
}
