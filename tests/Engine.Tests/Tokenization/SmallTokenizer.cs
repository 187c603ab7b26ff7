using System.Text.Json.Nodes;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Writes the parts of tokenizer.json files that are as small as they can be.</summary>
internal static class SmallTokenizer
{
    /// <summary>A whole tokenizer.json.</summary>
    public static JsonObject Json(
        JsonObject model, JsonNode? normalizer = null, JsonNode? preTokenizer = null, JsonNode? postProcessor = null, JsonNode? decoder = null, params JsonNode[] added) => new()
        {
            ["added_tokens"] = new JsonArray(added),
            ["normalizer"] = normalizer,
            ["pre_tokenizer"] = preTokenizer,
            ["post_processor"] = postProcessor,
            ["decoder"] = decoder,
            ["model"] = model,
        };

    /// <summary>A part of a type.</summary>
    public static JsonObject Of(string type, params (string Name, JsonNode? Value)[] members)
    {
        var part = new JsonObject { ["type"] = type };
        foreach (var (name, value) in members)
        {
            part[name] = value;
        }

        return part;
    }

    /// <summary>Tokens with the ids of their places.</summary>
    public static JsonObject Vocabulary(params string[] tokens)
    {
        var vocabulary = new JsonObject();
        foreach (var token in tokens)
        {
            vocabulary[token] = vocabulary.Count;
        }

        return vocabulary;
    }

    /// <summary>A WordLevel whose first token is the unknown one.</summary>
    public static JsonObject Words(params string[] tokens) => Of("WordLevel", ("vocab", Vocabulary(tokens)), ("unk_token", tokens[0]));

    /// <summary>A WordPiece whose first token is the unknown one.</summary>
    public static JsonObject WordPiece(params string[] tokens) =>
        Of("WordPiece", ("vocab", Vocabulary(tokens)), ("unk_token", tokens[0]), ("continuing_subword_prefix", "##"), ("max_input_chars_per_word", 100));

    /// <summary>A byte-level BPE.</summary>
    public static JsonObject Bpe(string[] tokens, params string[] merges) =>
        Of("BPE", ("vocab", Vocabulary(tokens)), ("merges", new JsonArray([.. merges.Select(static merge => (JsonNode)merge)])));

    /// <summary>A ByteLevel, as pre-tokenizer, post-processor or decoder.</summary>
    public static JsonObject ByteLevel(bool addPrefixSpace = false, bool trimOffsets = true) =>
        Of("ByteLevel", ("add_prefix_space", addPrefixSpace), ("trim_offsets", trimOffsets), ("use_regex", true));

    /// <summary>A BertNormalizer.</summary>
    public static JsonObject BertNormalizer(bool lowercase = true, bool? stripAccents = null, bool chinese = true) =>
        Of("BertNormalizer", ("clean_text", true), ("handle_chinese_chars", chinese), ("strip_accents", stripAccents), ("lowercase", lowercase));

    /// <summary>An added token.</summary>
    public static JsonObject Added(int id, string content, bool special = true, bool normalized = false, bool lstrip = false) => new()
    {
        ["id"] = id,
        ["content"] = content,
        ["single_word"] = false,
        ["lstrip"] = lstrip,
        ["rstrip"] = false,
        ["normalized"] = normalized,
        ["special"] = special,
    };

    /// <summary>A TemplateProcessing of words such as <c>[C]:0 $A:0 [S]:0</c>; the ids of special tokens are their places in <paramref name="vocabulary"/>.</summary>
    public static JsonObject Template(string[] vocabulary, string single, string pair)
    {
        var specials = new JsonObject();
        return Of("TemplateProcessing", ("single", Pieces(single)), ("pair", Pieces(pair)), ("special_tokens", specials));

        JsonArray Pieces(string words)
        {
            var pieces = new JsonArray();
            foreach (var word in words.Split(' '))
            {
                var (name, type) = (word[..word.LastIndexOf(':')], int.Parse(word[(word.LastIndexOf(':') + 1)..], null));
                var sequence = name[0] == '$';
                pieces.Add(new JsonObject { [sequence ? "Sequence" : "SpecialToken"] = new JsonObject { ["id"] = sequence ? name[1..] : name, ["type_id"] = type } });
                if (!sequence && !specials.ContainsKey(name))
                {
                    specials[name] = new JsonObject { ["id"] = name, ["ids"] = new JsonArray(Array.IndexOf(vocabulary, name)), ["tokens"] = new JsonArray(name) };
                }
            }

            return pieces;
        }
    }
}
