using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization.OlderFiles;

namespace InferenceServer.Engine.Tokenization.Folders;

/// <summary>A token that a file beside tokenizer.json names.</summary>
/// <param name="Token">The token with its flags.</param>
/// <param name="Id">The id that the file gives it, or null.</param>
/// <param name="Source">File and field.</param>
internal sealed record FolderToken(AddedToken Token, int? Id, string Source);

/// <summary>
/// Tokens that tokenizer_config.json, special_tokens_map.json and added_tokens.json add to those of tokenizer.json, as transformers 4.57 adds them: those of
/// <c>added_tokens_decoder</c> by their ids (without it those of added_tokens.json), then the special tokens by their roles.
/// </summary>
internal static class FolderTokens
{
    /// <summary>The tokens in the order in which they are added.</summary>
    /// <param name="settings">The files.</param>
    /// <param name="family">The tokenizer's class, for the roles that no file names; null when it has none.</param>
    /// <param name="listed">Texts and ids of tokenizer.json's <c>added_tokens</c>.</param>
    /// <param name="isKnown">Whether the vocabulary has a text: a class's own tokens are added only then.</param>
    /// <exception cref="ModelLoadException">A special token is neither a text nor a token with its flags.</exception>
    public static List<FolderToken> Read(FolderSettings settings, TokenizerFamily? family, IReadOnlyDictionary<string, int> listed, Func<string, bool> isKnown)
    {
        var special = Special(settings, family, isKnown);
        var texts = special.Select(static s => s.Text).ToHashSet(StringComparer.Ordinal);
        var tokens = new List<FolderToken>();
        if (settings.HasDecoder)
        {
            foreach (var (id, json) in settings.Decoder)
            {
                var flags = TokenFlags.Read(json, default);
                var text = json["content"]!.GetValue<string>();
                var isSpecial = flags.Special || texts.Contains(text);
                Add(Token(text, TokenFlags.Read(json, new TokenFlags { Normalized = !isSpecial }) with { Special = isSpecial }), id, "tokenizer_config.json: $.added_tokens_decoder");
            }
        }
        else
        {
            var ids = listed.Values.ToHashSet();
            foreach (var (id, text) in settings.Added)
            {
                if (!ids.Contains(id))
                {
                    Add(Token(text, new TokenFlags { Special = texts.Contains(text), Normalized = !texts.Contains(text) }), id, "added_tokens.json");
                }
            }
        }

        foreach (var (text, flags, source) in special)
        {
            if (!listed.ContainsKey(text) && !tokens.Any(t => t.Token.Content == text))
            {
                Add(Token(text, flags), null, source);
            }
        }

        return tokens;

        void Add(AddedToken token, int? id, string source)
        {
            if (token.Content.Length > 0)
            {
                tokens.Add(new FolderToken(token, id, source));
            }
        }
    }

    // Without added_tokens_decoder special_tokens_map.json replaces what tokenizer_config.json names.
    private static List<(string Text, TokenFlags Flags, string Source)> Special(FolderSettings settings, TokenizerFamily? family, Func<string, bool> isKnown)
    {
        var roots = settings.Roots.Where(root => !settings.HasDecoder || root.File == "tokenizer_config.json").ToList();
        roots.Reverse();
        var special = new List<(string Text, TokenFlags Flags, string Source)>();
        foreach (var role in FolderSettings.Roles)
        {
            var usual = new TokenFlags { Special = true, LeftStrip = role == "mask_token" && family is { MaskStripsLeft: true } };
            if (roots.FirstOrDefault(root => root.Json.ContainsKey(role)) is { Json: { } json, File: { } file })
            {
                Add(json[role], usual, $"{file}: $.{role}");
            }
            else if (family?.Roles.GetValueOrDefault(role) is { } text && isKnown(text))
            {
                special.Add((text, usual, $"the {settings.Class} of transformers has the {role}"));
            }
        }

        foreach (var list in (ReadOnlySpan<string>)["additional_special_tokens", "extra_special_tokens"])
        {
            foreach (var (file, json) in roots)
            {
                IEnumerable<JsonNode?> items = json[list] switch
                {
                    null => [],
                    JsonArray array => array,
                    JsonObject named => named.Select(static member => member.Value),
                    _ => throw Wrong(file, list),
                };
                foreach (var item in items)
                {
                    Add(item, new TokenFlags { Special = true }, $"{file}: $.{list}");
                }
            }
        }

        return special;

        void Add(JsonNode? node, TokenFlags usual, string source)
        {
            switch (node)
            {
                case null:
                    break;
                case JsonValue value when value.TryGetValue<string>(out var text):
                    special.Add((text, usual, source));
                    break;
                case JsonObject token when token["content"] is JsonValue value && value.TryGetValue<string>(out var text):
                    special.Add((text, TokenFlags.Read(token, new TokenFlags { Special = true }) with { Special = true }, source));
                    break;
                default:
                    throw new ModelLoadException($"{source}: must be a text, a token with its flags, or null, not {node.ToJsonString()}; correct the file.");
            }
        }

        static ModelLoadException Wrong(string file, string list) => new($"{file}: $.{list}: must be a list of tokens; correct the file.");
    }

    private static AddedToken Token(string text, TokenFlags flags) => new(text, flags.SingleWord, flags.LeftStrip, flags.RightStrip, flags.Normalized, flags.Special);
}
