using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tokenization;

/// <summary>tokenizer_config.json and special_tokens_map.json: what stands beside tokenizer.json. All of it is optional.</summary>
internal sealed class TokenizerConfig
{
    // What BERT's, RoBERTa's, T5's and GPT-2's tokenizers of transformers take when no file says otherwise. <s> and </s> stand for cls and sep beside a mask only.
    private static readonly (string Role, string[] Texts)[] UsualTexts =
    [
        ("mask_token", ["[MASK]", "<mask>"]),
        ("cls_token", ["[CLS]", "<s>"]),
        ("sep_token", ["[SEP]", "</s>"]),
        ("pad_token", ["[PAD]", "<pad>"]),
        ("unk_token", ["[UNK]", "<unk>", "<|endoftext|>"]),
        ("bos_token", ["<s>", "<|endoftext|>"]),
        ("eos_token", ["</s>", "<|endoftext|>"]),
    ];

    private readonly Dictionary<string, string> named = new(StringComparer.Ordinal);

    /// <summary>Reads the two files of a folder, where they are.</summary>
    /// <exception cref="ModelLoadException">A file is damaged.</exception>
    public TokenizerConfig(string folder)
    {
        using var config = Open(folder, "tokenizer_config.json");
        if (config is not null)
        {
            var root = new JsonPart("tokenizer_config.json", "$", config.RootElement);
            Class = root.OptionalString("tokenizer_class");
            TruncationSide = Side(root, "truncation_side");
            PaddingSide = Side(root, "padding_side");
            ModelMaxLength = Length(root.Optional("model_max_length"));
        }

        // As transformers: special_tokens_map.json replaces what tokenizer_config.json names, unless that lists its added tokens as well.
        using var map = Open(folder, "special_tokens_map.json");
        JsonPart?[] roots = [config is null ? null : new JsonPart("tokenizer_config.json", "$", config.RootElement), map is null ? null : new JsonPart("special_tokens_map.json", "$", map.RootElement)];
        if (roots[0] is not { } first || !first.Has("added_tokens_decoder"))
        {
            Array.Reverse(roots);
        }

        foreach (var root in roots)
        {
            if (root is { } named)
            {
                Take(named);
            }
        }
    }

    /// <summary>Most bytes of a tokenizer's file; the largest tokenizer.json known has 35 MB.</summary>
    public const long MostBytes = 128L << 20;

    /// <summary><c>tokenizer_class</c>.</summary>
    public string? Class { get; }

    /// <summary><c>model_max_length</c> where it is a real limit.</summary>
    public int? ModelMaxLength { get; }

    /// <summary><c>truncation_side</c>.</summary>
    public Side TruncationSide { get; }

    /// <summary><c>padding_side</c>.</summary>
    public Side PaddingSide { get; }

    /// <summary>
    /// The named tokens with their ids. Older folders name none at all, since the reference's tokenizer classes have them as defaults: there a special token of the
    /// vocabulary has the role that its usual text says.
    /// </summary>
    public NamedTokens Resolve(Func<string, int?> id, IReadOnlySet<int> special)
    {
        if (named.Count == 0)
        {
            foreach (var (role, texts) in UsualTexts)
            {
                if (texts.FirstOrDefault(text => id(text) is { } found && special.Contains(found)) is { } usual && (role is not ("cls_token" or "sep_token") || usual[0] == '[' || named.ContainsKey("mask_token")))
                {
                    named[role] = usual;
                }
            }
        }

        return new NamedTokens(Find("bos_token"), Find("eos_token"), Find("unk_token"), Find("sep_token"), Find("pad_token"), Find("cls_token"), Find("mask_token"));

        NamedToken? Find(string name) => named.TryGetValue(name, out var text) && id(text) is { } found ? new NamedToken(text, found) : null;
    }

    /// <summary>Opens a JSON file of the folder, or null when there is none.</summary>
    internal static JsonDocument? Open(string folder, string name)
    {
        if (FolderFiles.Read(folder, name, MostBytes) is not { } bytes)
        {
            return null;
        }

        var document = JsonPart.Parse(name, bytes);
        try
        {
            JsonFile.RequireReadableStrings(document.RootElement, name);
            return document;
        }
        catch
        {
            document.Dispose();
            throw;
        }
    }

    // Python's int(1e30) and the like stand for "no limit".
    private static int? Length(JsonPart max)
    {
        const double NoLimit = 1e9;
        if (max.IsNull || (max.Kind == JsonValueKind.Number && max.Element.TryGetDouble(out var value) && value >= NoLimit))
        {
            return null;
        }

        return max.AsDouble() is >= 1 and var length && length == Math.Floor(length)
            ? (int)length
            : throw max.Error($"is {max.Describe()}, which is no number of tokens; correct it to a whole number from 1, or remove it where no file should limit the length.");
    }

    private static Side Side(JsonPart root, string name) => root.OptionalString(name) switch
    {
        null or "right" => Tokenization.Side.Right,
        "left" => Tokenization.Side.Left,
        _ => throw root.Error(name, "must be 'left' or 'right'."),
    };

    private void Take(JsonPart root)
    {
        foreach (var name in (ReadOnlySpan<string>)["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"])
        {
            var token = root.Optional(name);
            var text = token.Kind switch
            {
                JsonValueKind.String => token.AsString(),
                JsonValueKind.Object => token.OptionalString("content"),
                _ => null,
            };
            if (text is not null)
            {
                named.TryAdd(name, text);
            }
        }
    }
}
