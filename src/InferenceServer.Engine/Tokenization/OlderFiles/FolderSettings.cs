using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tokenization.OlderFiles;

/// <summary>
/// tokenizer_config.json, special_tokens_map.json, added_tokens.json and the model type of config.json: what a folder
/// without tokenizer.json says about its tokenizer besides the vocabulary.
/// </summary>
internal sealed class FolderSettings
{
    /// <summary>What <see cref="Class"/> begins with when only the model's type is known.</summary>
    public const string ByModelType = "model_type ";

    /// <summary>The roles of special tokens, in the order in which transformers adds them.</summary>
    public static readonly string[] Roles = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

    private readonly List<(string File, JsonObject Json)> roots = [];
    private readonly SortedDictionary<int, JsonObject> decoder = [];
    private readonly SortedDictionary<int, string> added = [];

    /// <summary>Reads the files of a folder, where they are.</summary>
    /// <exception cref="ModelLoadException">A file is damaged.</exception>
    public FolderSettings(string folder)
    {
        Add("tokenizer_config.json");
        Add("special_tokens_map.json");
        foreach (var (file, root) in roots)
        {
            if (root["added_tokens_decoder"] is not JsonObject tokens)
            {
                continue;
            }

            HasDecoder = true;
            foreach (var (key, value) in tokens)
            {
                decoder[int.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : throw Wrong("has a key that is no id")] =
                    value is JsonObject token && token["content"] is JsonValue content && content.TryGetValue<string>(out _) ? token : throw Wrong("must be an object with a text as content");

                ModelLoadException Wrong(string what) => new($"{file}: $.added_tokens_decoder['{key}']: {what}; download the file again.");
            }
        }

        if (Read(folder, "added_tokens.json") is { } more)
        {
            foreach (var (token, id) in more)
            {
                if (id is JsonValue value && value.TryGetValue<int>(out var number))
                {
                    added[number] = token;
                }
            }
        }

        var name = Text("tokenizer_class") ?? (JsonFile.ReadObject(folder, "config.json") is { } json ? (JsonObject?)JsonFile.ToNode(json) : null) switch
        {
            { } config when config["tokenizer_class"] is JsonValue value && value.TryGetValue<string>(out var named) => named,
            { } config when config["model_type"] is JsonValue value && value.TryGetValue<string>(out var type) => ByModelType + type,
            _ => null,
        };
        Class = name is null || name is "PreTrainedTokenizerFast" or "PreTrainedTokenizer" ? null : name.EndsWith("Fast", StringComparison.Ordinal) ? name[..^4] : name;

        void Add(string file)
        {
            if (Read(folder, file) is { } root)
            {
                roots.Add((file, root));
            }
        }
    }

    /// <summary><c>tokenizer_class</c> without <c>Fast</c>; where none is named, <c>model_type</c> and the type; or null.</summary>
    public string? Class { get; }

    /// <summary>tokenizer_config.json and special_tokens_map.json, those that are there.</summary>
    public IReadOnlyList<(string File, JsonObject Json)> Roots => roots;

    /// <summary>Whether tokenizer_config.json has <c>added_tokens_decoder</c>, so that transformers reads neither special_tokens_map.json nor added_tokens.json.</summary>
    public bool HasDecoder { get; }

    /// <summary><c>added_tokens_decoder</c>: ids and tokens with their flags.</summary>
    public IReadOnlyDictionary<int, JsonObject> Decoder => decoder;

    /// <summary>added_tokens.json: ids and tokens.</summary>
    public IReadOnlyDictionary<int, string> Added => added;

    /// <summary>
    /// What says that words are found, or cut, by a program of their own (BertJapaneseTokenizer and its kin: MeCab, Sudachi, Juman++, characters, SentencePiece), as
    /// <c>$.name is value</c>; or null.
    /// </summary>
    public string? OtherWords
    {
        get
        {
            foreach (var (name, usual) in (ReadOnlySpan<(string, string?)>)
                [("word_tokenizer_type", "basic"), ("subword_tokenizer_type", "wordpiece"), ("do_word_tokenize", null), ("do_subword_tokenize", null), ("mecab_kwargs", null), ("sudachi_kwargs", null), ("jumanpp_kwargs", null)])
            {
                if (Value(name) is { } node && !(usual is not null && node is JsonValue value && value.TryGetValue<string>(out var text) && text == usual))
                {
                    return $"$.{name} is {node.ToJsonString()}";
                }
            }

            return Class == "BertJapaneseTokenizer" ? "$.tokenizer_class is BertJapaneseTokenizer" : null;
        }
    }

    /// <summary>A boolean setting; null where it is missing or null.</summary>
    /// <exception cref="ModelLoadException">It is something else.</exception>
    public bool? Flag(string name)
    {
        if (Value(name) is not { } node)
        {
            return null;
        }

        return node is JsonValue value && value.TryGetValue<bool>(out var flag)
            ? flag
            : throw new ModelLoadException($"{roots.First(root => root.Json[name] is not null).File}: $.{name}: must be true, false or null, not {node.ToJsonString()}; correct the file.");
    }

    /// <summary>Whether a file has the member, null included.</summary>
    public bool Has(string name) => roots.Any(root => root.Json.ContainsKey(name));

    /// <summary>A string setting.</summary>
    public string? Text(string name) => Value(name) is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    /// <summary>A whole number.</summary>
    public int? Number(string name) => Value(name) is JsonValue value && value.TryGetValue<int>(out var number) ? number : null;

    /// <summary>The text of a special token by its role, or <paramref name="fallback"/> when none is named.</summary>
    public string? Token(string role, string? fallback = null)
    {
        foreach (var (_, root) in roots)
        {
            if (root.TryGetPropertyValue(role, out var node))
            {
                return node switch
                {
                    JsonObject token when token["content"] is JsonValue content && content.TryGetValue<string>(out var text) => text,
                    JsonValue value when value.TryGetValue<string>(out var text) => text,
                    _ => null,
                };
            }
        }

        return fallback;
    }

    /// <summary>
    /// The <c>added_tokens</c> of tokenizer.json: those that the files list with their flags, then the special tokens by
    /// their roles (<paramref name="defaults"/> where the files name none), then what else the files add.
    /// </summary>
    /// <param name="defaults">Role and token of the family, in the order of the roles.</param>
    /// <param name="flags">The flags that the family gives a token of a role when the files do not say.</param>
    /// <param name="more">Tokens that the vocabulary itself marks as special or added.</param>
    /// <param name="id">The id of a token in the vocabulary.</param>
    public JsonArray AddedTokens(
        IReadOnlyDictionary<string, string> defaults, Func<string, TokenFlags> flags, IEnumerable<(string Token, TokenFlags Flags)> more, Func<string, int?> id)
    {
        var listed = new Dictionary<string, (int Order, TokenFlags Flags)>(StringComparer.Ordinal);
        foreach (var (number, token) in decoder)
        {
            listed[token["content"]!.GetValue<string>()] = (number, TokenFlags.Read(token, new TokenFlags()));
        }

        var next = 1 << 28; // behind all that have an id
        foreach (var role in Roles)
        {
            if (Token(role, defaults.GetValueOrDefault(role)) is { Length: > 0 } token)
            {
                var own = roots.Select(root => root.Json[role]).OfType<JsonObject>().FirstOrDefault();
                var set = own is null ? flags(role) : TokenFlags.Read(own, flags(role)) with { Special = true };
                listed.TryAdd(token, (id(token) ?? next++, set));
            }
        }

        foreach (var (token, set) in more)
        {
            listed.TryAdd(token, (id(token) ?? next++, set));
        }

        foreach (var (_, root) in roots)
        {
            if (root["additional_special_tokens"] is JsonArray specials)
            {
                foreach (var special in specials)
                {
                    var text = special is JsonObject token ? token["content"]?.GetValue<string>() : special?.GetValue<string>();
                    if (text is not null)
                    {
                        var order = added.FirstOrDefault(e => e.Value == text);
                        listed.TryAdd(text, (id(text) ?? (order.Value is null ? next++ : order.Key), new TokenFlags { Special = true }));
                    }
                }
            }
        }

        foreach (var (number, token) in added)
        {
            listed[token] = listed.TryGetValue(token, out var known) ? (number, known.Flags) : (number, new TokenFlags { Normalized = true });
        }

        var result = new JsonArray();
        foreach (var (token, (order, set)) in listed.OrderBy(static e => e.Value.Order))
        {
            result.Add(set.Write(token, order));
        }

        return result;
    }

    private JsonNode? Value(string name) => roots.Select(root => root.Json[name]).FirstOrDefault(static node => node is not null);

    private static JsonObject? Read(string folder, string file)
    {
        using var document = TokenizerConfig.Open(folder, file);
        return document is null || document.RootElement.ValueKind != JsonValueKind.Object ? null : (JsonObject?)JsonFile.ToNode(document.RootElement.Clone());
    }
}

/// <summary>The flags of an added token.</summary>
internal readonly record struct TokenFlags
{
    /// <summary>Set apart when skipping special tokens.</summary>
    public bool Special { get; init; }

    /// <summary>Matched in the normalised text.</summary>
    public bool Normalized { get; init; }

    /// <summary>Swallows white space on its left.</summary>
    public bool LeftStrip { get; init; }

    /// <summary>Swallows white space on its right.</summary>
    public bool RightStrip { get; init; }

    /// <summary>Only as a word of its own.</summary>
    public bool SingleWord { get; init; }

    /// <summary>The flags that a file writes, over <paramref name="fallback"/>.</summary>
    public static TokenFlags Read(JsonObject token, TokenFlags fallback)
    {
        return new TokenFlags
        {
            Special = Flag("special", fallback.Special),
            Normalized = Flag("normalized", fallback.Normalized),
            LeftStrip = Flag("lstrip", fallback.LeftStrip),
            RightStrip = Flag("rstrip", fallback.RightStrip),
            SingleWord = Flag("single_word", fallback.SingleWord),
        };

        bool Flag(string name, bool missing) => token[name] is JsonValue value && value.TryGetValue<bool>(out var flag) ? flag : missing;
    }

    /// <summary>An entry of <c>added_tokens</c>.</summary>
    public JsonObject Write(string content, int id) => new()
    {
        ["id"] = id,
        ["content"] = content,
        ["single_word"] = SingleWord,
        ["lstrip"] = LeftStrip,
        ["rstrip"] = RightStrip,
        ["normalized"] = Normalized,
        ["special"] = Special,
    };
}
