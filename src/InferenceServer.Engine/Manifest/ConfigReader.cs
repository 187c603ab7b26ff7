using System.Globalization;
using System.Text.Json;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>Reads config.json by meaning: a fact is looked for under each name that model families give it, at the top and in the nested configurations.</summary>
internal static class ConfigReader
{
    private const int MostLabels = 1_000_000;

    // Far above every model known, and small enough for what is counted with them: selections of heads, bytes of a run.
    private const int MostHeads = 4096;
    private const int MostLayers = 4096;
    private const int MostWidth = 1 << 20;
    private const int MostTokens = 1 << 26;

    /// <summary>Nested configurations that describe the text model (multimodal ones, encoder-decoder pairs, genai_config.json).</summary>
    private static readonly string[][] Nested = [["text_config"], ["llm_config"], ["language_config"], ["model"], ["model", "decoder"], ["encoder"], ["model", "encoder"]];

    public static ModelConfig Read(JsonElement root, string file)
    {
        List<JsonElement> sections = [root];
        foreach (var path in Nested)
        {
            if (Section(root, path) is { } section)
            {
                sections.Add(section);
            }
        }

        List<JsonElement> decoder = [root];
        if (Section(root, ["decoder"]) is { } nestedDecoder)
        {
            decoder.Insert(0, nestedDecoder);
        }

        var both = Flag(root, "is_encoder_decoder");
        var hidden = Size(sections, file, MostWidth, "hidden_size", "d_model", "dim", "n_embd", "emb_dim", "model_dim", "embed_dim", "hidden_dim");
        var layers = both
            ? Size(sections, file, MostLayers, "encoder_layers", "num_encoder_layers", "num_layers", "num_hidden_layers", "n_layer", "n_layers")
            : Size(sections, file, MostLayers, "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers");
        var heads = both
            ? Size(sections, file, MostHeads, "encoder_attention_heads", "num_encoder_heads", "num_attention_heads", "num_heads", "n_head", "n_heads")
            : Size(sections, file, MostHeads, "num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads");
        var keyValueHeads = Size(sections, file, MostHeads, "num_key_value_heads", "num_kv_heads", "n_head_kv", "n_kv_heads")
            ?? (sections.Any(s => Flag(s, "multi_query") && !Flag(s, "new_decoder_architecture")) ? 1 : heads);
        var headSize = Size(sections, file, MostWidth, "head_dim", "d_kv", "attention_head_size", "head_size", "kv_channels");
        var pad = Id(sections, "pad_token_id");
        return new ModelConfig
        {
            Root = root,
            ModelType = Text(root, "model_type") ?? (Section(root, ["model"]) is { } genai ? Text(genai, "type") : null),
            Architectures = Texts(root, "architectures"),
            HiddenSize = hidden,
            Layers = layers,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadSize = headSize ?? (hidden % heads == 0 ? hidden / heads : null),
            DecoderLayers = both ? Size(decoder, file, MostLayers, "decoder_layers", "num_decoder_layers", "num_hidden_layers", "n_layer") ?? layers : null,
            DecoderHeads = both ? Size(decoder, file, MostHeads, "decoder_attention_heads", "num_decoder_heads", "num_attention_heads", "n_head") ?? heads : null,
            MaxPositions = Positions(
                Size(
                    sections, file, int.MaxValue, "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length", "max_seq_length", "max_source_positions",
                    "context_length", "seq_len", "max_length_positions"),
                pad),
            VocabularySize = Size(sections, file, MostTokens, "vocab_size", "n_vocab", "padded_vocab_size", "n_words"),
            Labels = Labels(root, file),
            ProblemType = Text(root, "problem_type"),
            PadTokenId = pad,
            DecoderStartTokenId = Id([root, .. decoder], "decoder_start_token_id"),
            IsEncoderDecoder = both,
            IsDecoder = sections.Any(s => Flag(s, "is_decoder")),
        };
    }

    public static string? Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    public static bool Flag(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.True;

    /// <summary>
    /// Position tables that number text from <c>padding id + 1</c> reserve that many rows, and their size is a round number plus the reserve
    /// (514 = 512 + 2, 4098 = 4096 + 2). A size that is round by itself has no reserve.
    /// </summary>
    private static int? Positions(int? size, int? pad) =>
        size is { } rows && pad is >= 0 and < 64 && rows % 64 != 0 && rows > pad + 1 && (rows - pad - 1) % 64 == 0 ? rows - pad - 1 : size;

    private static JsonElement? Section(JsonElement root, string[] path)
    {
        foreach (var name in path)
        {
            if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty(name, out var next) || next.ValueKind != JsonValueKind.Object)
            {
                return null;
            }

            root = next;
        }

        return root;
    }

    private static int? Size(List<JsonElement> sections, string file, int most, params ReadOnlySpan<string> names)
    {
        foreach (var section in sections)
        {
            foreach (var name in names)
            {
                if (section.ValueKind != JsonValueKind.Object || !section.TryGetProperty(name, out var value) || value.ValueKind != JsonValueKind.Number)
                {
                    continue;
                }

                if (!value.TryGetDouble(out var number) || number != Math.Floor(number) || number < -1 || number > most)
                {
                    throw new ModelLoadException(string.Create(CultureInfo.InvariantCulture, $"{file}: $.{name} is {value.GetRawText()}, which is no size. Correct it to a whole number from 1 to {most}."));
                }

                // -1 and 0 stand for "none" in several families.
                if (number >= 1)
                {
                    return (int)number;
                }
            }
        }

        return null;
    }

    /// <summary>A whole number at the top of an object, or null.</summary>
    public static int? Number(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) ? number : null;

    /// <summary>A token id, or the first of a list.</summary>
    public static int? Id(IReadOnlyList<JsonElement> sections, string name)
    {
        foreach (var section in sections)
        {
            if (section.ValueKind != JsonValueKind.Object || !section.TryGetProperty(name, out var value))
            {
                continue;
            }

            if (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0)
            {
                value = value[0];
            }

            if (value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var id) && id >= 0)
            {
                return id;
            }
        }

        return null;
    }

    private static IReadOnlyList<string> Texts(JsonElement root, string name) =>
        root.ValueKind == JsonValueKind.Object && root.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Array
            ? [.. value.EnumerateArray().Where(v => v.ValueKind == JsonValueKind.String).Select(v => v.GetString()!)]
            : [];

    /// <summary><c>id2label</c> with its keys in any order (or a list), else <c>label2id</c> turned round.</summary>
    private static IReadOnlyList<string> Labels(JsonElement root, string file)
    {
        var labels = new SortedDictionary<int, string>();
        if (root.ValueKind != JsonValueKind.Object)
        {
            return [];
        }

        if (root.TryGetProperty("id2label", out var byId) && byId.ValueKind is JsonValueKind.Object or JsonValueKind.Array)
        {
            if (byId.ValueKind == JsonValueKind.Array)
            {
                for (var i = 0; i < byId.GetArrayLength(); i++)
                {
                    Add(i, byId[i], $"$.id2label[{i}]");
                }
            }
            else
            {
                foreach (var pair in byId.EnumerateObject())
                {
                    Add(
                        int.TryParse(pair.Name, NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : throw Wrong($"$.id2label has the key '{pair.Name}'"),
                        pair.Value,
                        $"$.id2label['{pair.Name}']");
                }
            }
        }
        else if (root.TryGetProperty("label2id", out var toId) && toId.ValueKind == JsonValueKind.Object)
        {
            foreach (var pair in toId.EnumerateObject())
            {
                if (pair.Value.ValueKind != JsonValueKind.Number || !pair.Value.TryGetInt32(out var id))
                {
                    throw Wrong($"$.label2id['{pair.Name}'] is {JsonFile.Kind(pair.Value)}");
                }

                Check(id, $"$.label2id['{pair.Name}']");
                labels[id] = pair.Name;
            }
        }

        return labels.Count == 0 ? [] : [.. Enumerable.Range(0, labels.Keys.Last() + 1).Select(i => labels.GetValueOrDefault(i) ?? $"LABEL_{i}")];

        void Add(int id, JsonElement value, string path)
        {
            Check(id, path);
            labels[id] = value.ValueKind switch
            {
                JsonValueKind.String => value.GetString()!,
                JsonValueKind.Number => value.GetRawText(),
                JsonValueKind.True => "True",
                JsonValueKind.False => "False",
                _ => throw Wrong($"{path} is {JsonFile.Kind(value)}"),
            };
        }

        void Check(int id, string path)
        {
            if (id is < 0 or >= MostLabels)
            {
                throw Wrong($"{path} has the id {id}");
            }
        }

        ModelLoadException Wrong(string what) => new($"{file}: {what}; labels are numbered from 0 and have a text each. Correct config.json.");
    }
}
