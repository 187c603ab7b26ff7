using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization.OlderFiles;

/// <summary>Writes the parts of a tokenizer.json.</summary>
internal static class Parts
{
    /// <summary>The character that SentencePiece writes spaces as.</summary>
    public const string Space = "▁";

    /// <summary>A part of a type.</summary>
    public static JsonObject Of(string type, params ReadOnlySpan<(string Name, JsonNode? Value)> members)
    {
        var part = new JsonObject { ["type"] = type };
        foreach (var (name, value) in members)
        {
            part[name] = value;
        }

        return part;
    }

    /// <summary>A Replace of a string.</summary>
    public static JsonObject ReplaceString(string pattern, string content) =>
        Of("Replace", ("pattern", new JsonObject { ["String"] = pattern }), ("content", content));

    /// <summary>A Replace of a regular expression.</summary>
    public static JsonObject ReplaceRegex(string pattern, string content) =>
        Of("Replace", ("pattern", new JsonObject { ["Regex"] = pattern }), ("content", content));

    /// <summary>A Split that sets the matches apart.</summary>
    public static JsonObject SplitRegex(string pattern, string behavior, bool invert) =>
        Of("Split", ("pattern", new JsonObject { ["Regex"] = pattern }), ("behavior", behavior), ("invert", invert));

    /// <summary>A Metaspace, as pre-tokenizer or decoder.</summary>
    public static JsonObject Metaspace(string scheme, bool split = true) =>
        Of("Metaspace", ("replacement", Space), ("prepend_scheme", scheme), ("split", split));

    /// <summary>A ByteLevel, as pre-tokenizer, post-processor or decoder.</summary>
    public static JsonObject ByteLevel(bool addPrefixSpace, bool trimOffsets, bool useRegex = true) =>
        Of("ByteLevel", ("add_prefix_space", addPrefixSpace), ("trim_offsets", trimOffsets), ("use_regex", useRegex));

    /// <summary>A Sequence of normalizers.</summary>
    public static JsonObject Normalizers(params JsonNode?[] parts) => Of("Sequence", ("normalizers", new JsonArray([.. parts.Where(static p => p is not null)])));

    /// <summary>A Sequence of pre-tokenizers.</summary>
    public static JsonObject PreTokenizers(params JsonNode?[] parts) => Of("Sequence", ("pretokenizers", new JsonArray([.. parts.Where(static p => p is not null)])));

    /// <summary>A Sequence of decoders.</summary>
    public static JsonObject Decoders(params JsonNode?[] parts) => Of("Sequence", ("decoders", new JsonArray([.. parts.Where(static p => p is not null)])));

    /// <summary>The text of each special token where no file of the folder names another.</summary>
    public static Dictionary<string, string> Roles(string bos, string eos, string unk, string sep, string pad, string cls, string mask) => new()
    {
        ["bos_token"] = bos,
        ["eos_token"] = eos,
        ["unk_token"] = unk,
        ["sep_token"] = sep,
        ["pad_token"] = pad,
        ["cls_token"] = cls,
        ["mask_token"] = mask,
    };

    /// <summary>The id of a token that surrounds every text.</summary>
    /// <exception cref="ModelLoadException">The vocabulary lacks it.</exception>
    public static int Known(string token, Func<string, int?> id) => id(token) ?? throw new ModelLoadException(
        $"the special token '{token}' that surrounds every text is not in the vocabulary; name the right tokens in tokenizer_config.json.");

    /// <summary>The TemplateProcessing of BERT: one token in front, one behind each text, the second text a segment of its own.</summary>
    public static JsonObject ClsAndSep(string cls, string sep, Func<string, int?> id) =>
        Template($"{cls}:0 $A:0 {sep}:0", $"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1", id);

    /// <summary>A TemplateProcessing out of words such as <c>[CLS]:0 $A:0 [SEP]:0</c>.</summary>
    public static JsonObject Template(string single, string pair, Func<string, int?> id)
    {
        var specials = new JsonObject();
        return Of("TemplateProcessing", ("single", Pieces(single)), ("pair", Pieces(pair)), ("special_tokens", specials));

        JsonArray Pieces(string template)
        {
            var pieces = new JsonArray();
            foreach (var word in template.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                var colon = word.LastIndexOf(':');
                var name = word[..colon];
                var type = int.Parse(word[(colon + 1)..], System.Globalization.CultureInfo.InvariantCulture);
                var sequence = name is "$A" or "$B";
                pieces.Add(new JsonObject
                {
                    [sequence ? "Sequence" : "SpecialToken"] = new JsonObject { ["id"] = sequence ? name[1..] : name, ["type_id"] = type },
                });
                if (!sequence && !specials.ContainsKey(name))
                {
                    specials[name] = new JsonObject
                    {
                        ["id"] = name,
                        ["ids"] = new JsonArray(Known(name, id)),
                        ["tokens"] = new JsonArray(name),
                    };
                }
            }

            return pieces;
        }
    }
}
