using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tasks;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary><c>inputs</c> or <c>pairs</c>: a text, a list of texts, or a list of lists of token ids.</summary>
[Expected("a text, a list of texts, or a list of lists of token ids")]
[JsonConverter(typeof(Converter))]
internal sealed record InputList
{
    /// <summary>The texts; null when token ids came.</summary>
    public IReadOnlyList<string>? Texts { get; init; }

    /// <summary>The token ids; null when texts came.</summary>
    public IReadOnlyList<int[]>? Ids { get; init; }

    /// <summary>True when a list came, of one or of many.</summary>
    public bool IsList { get; init; }

    /// <summary>Number of inputs.</summary>
    public int Count => Texts?.Count ?? Ids!.Count;

    /// <summary>The inputs as the tasks take them.</summary>
    /// <exception cref="RequestException">There is none, there are too many, or the pairs do not fit.</exception>
    public IReadOnlyList<TextInput> WithPairs(InputList? pairs, int max)
    {
        Check(max);
        CheckPairs(pairs);
        return (Ids, IsList) switch
        {
            ({ } ids, _) => [.. ids.Select((sequence, i) => TextInput.OfIds(sequence, i))],
            (_, true) => [.. Texts!.Select((text, i) => TextInput.Of(text, pairs?.Texts![i], i))],
            _ => [TextInput.Of(Texts![0], pairs?.Texts![0]) with { Argument = Argument.Of(nameof(EmbeddingsBody.Inputs)), PairArgument = Argument.Of(nameof(EmbeddingsBody.Pairs)) }],
        };
    }

    /// <summary>The texts alone, for tasks that take no token ids.</summary>
    /// <exception cref="RequestException">Token ids came, there is none, or there are too many.</exception>
    public IReadOnlyList<string> OnlyTexts(string field, int max)
    {
        if (Texts is null)
        {
            throw new RequestException(ErrorCode.Malformed, $"'{field}' must be a text or a list of texts here, not token ids.", field);
        }

        Check(max, field);
        return Texts;
    }

    /// <summary>Checks that pairs have the form of the inputs.</summary>
    /// <exception cref="RequestException">They do not.</exception>
    public void CheckPairs(InputList? pairs)
    {
        if (pairs is null)
        {
            return;
        }

        if (pairs.Texts is null || Ids is not null)
        {
            throw RequestException.Unprocessable("pairs", "'pairs' goes with texts only: token ids already are whole sequences. Send texts in 'inputs' and 'pairs', or leave 'pairs' out.");
        }

        if (pairs.IsList != IsList || pairs.Count != Count)
        {
            throw RequestException.Unprocessable("pairs", $"'pairs' must have the form of 'inputs', which is {Form(this)}; it is {Form(pairs)}. Send one second text for each input.");
        }
    }

    /// <summary>Reads a lone element, for bodies whose inputs depend on the task.</summary>
    /// <exception cref="RequestException">It is neither.</exception>
    public static InputList Of(JsonElement element, string field) => JsonDiagnosis.Read<InputList>(element, field);

    private static string Form(InputList list) => list.IsList ? $"a list of {list.Count}" : "a single text";

    private void Check(int max, string field = "inputs")
    {
        if (Count == 0)
        {
            throw RequestException.Unprocessable(field, $"'{field}' is an empty list; send at least 1.");
        }

        if (Count > max)
        {
            throw RequestException.Unprocessable(field, $"'{field}' has {Count} entries; the limit of one request is {max} (setting Limits:MaxInputs). Send several requests.");
        }
    }

    /// <summary>Reads the three forms.</summary>
    private sealed class Converter : JsonConverter<InputList>
    {
        public override InputList Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            if (reader.TokenType == JsonTokenType.String)
            {
                var broken = new List<(string, string)>();
                var text = Text(ref reader, "", broken);
                return broken.Count == 0 ? new InputList { Texts = [text] } : throw new InputErrors(broken);
            }

            if (reader.TokenType != JsonTokenType.StartArray)
            {
                throw new JsonException(); // the diagnosis says what was expected and what came
            }

            var texts = new List<string>();
            var ids = new List<int[]>();
            var errors = new List<(string At, string Message)>();
            for (var index = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; index++)
            {
                var at = $"[{index}]";
                var before = errors.Count;
                switch (reader.TokenType)
                {
                    case JsonTokenType.String when ids.Count == 0:
                        texts.Add(Text(ref reader, at, errors));
                        break;
                    case JsonTokenType.StartArray when texts.Count == 0:
                        ids.Add(Sequence(ref reader, at, errors));
                        break;
                    case JsonTokenType.String or JsonTokenType.StartArray:
                        errors.Add((at, $"is {Named(reader.TokenType)} and the entries before are not; send texts only, or lists of token ids only."));
                        break;
                    case JsonTokenType.Number when texts.Count + ids.Count + errors.Count == 0:
                        throw new InputErrors([(at, "is a number; it must be a text or a list of token ids: a sequence of ids is a list inside the list, as in [[101, 102]].")]);
                    default:
                        errors.Add((at, $"is {Named(reader.TokenType)}; it must be a text or a list of token ids."));
                        break;
                }

                if (errors.Count >= InferenceException.MaxErrors)
                {
                    break;
                }

                if (errors.Count > before)
                {
                    reader.Skip(); // the rest of a list or an object
                }
            }

            if (errors.Count > 0)
            {
                throw new InputErrors(errors);
            }

            return ids.Count > 0 ? new InputList { Ids = ids, IsList = true } : new InputList { Texts = texts, IsList = true };
        }

        public override void Write(Utf8JsonWriter writer, InputList value, JsonSerializerOptions options) => throw new NotSupportedException();

        private static string Text(ref Utf8JsonReader reader, string at, List<(string At, string Message)> errors)
        {
            try
            {
                return reader.GetString()!;
            }
            catch (InvalidOperationException)
            {
                errors.Add((at, JsonDiagnosis.BrokenText));
                return "";
            }
        }

        // The first id that is none ends the sequence; it is the reader's current token then.
        private static int[] Sequence(ref Utf8JsonReader reader, string at, List<(string At, string Message)> errors)
        {
            var sequence = new List<int>();
            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out var id))
                {
                    sequence.Add(id);
                    continue;
                }

                errors.Add(($"{at}[{sequence.Count}]", $"is {(reader.TokenType == JsonTokenType.Number ? "no whole number, or too large" : Named(reader.TokenType))}; token ids are whole numbers from 0 to 2147483647."));
                for (var depth = reader.CurrentDepth; reader.Read() && !(reader.TokenType == JsonTokenType.EndArray && reader.CurrentDepth < depth);)
                {
                    // To the end of the sequence.
                }

                break;
            }

            return [.. sequence];
        }

        private static string Named(JsonTokenType type) => type switch
        {
            JsonTokenType.String => "a text",
            JsonTokenType.Number => "a number",
            JsonTokenType.True or JsonTokenType.False => "true or false",
            JsonTokenType.Null => "null",
            JsonTokenType.StartArray => "a list",
            _ => "an object",
        };
    }
}

/// <summary>Everything that is wrong with the entries of a list of inputs, with where each stands in it (<c>[3][0]</c>).</summary>
internal sealed class InputErrors(IReadOnlyList<(string At, string Message)> errors) : JsonException(errors[0].Message, "$" + errors[0].At, null, null)
{
    /// <summary>The errors, at least one.</summary>
    public IReadOnlyList<(string At, string Message)> Errors { get; } = errors;
}
