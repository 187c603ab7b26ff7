using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tokenization.Decoders;
using InferenceServer.Engine.Tokenization.Folders;
using InferenceServer.Engine.Tokenization.Models;
using InferenceServer.Engine.Tokenization.Normalizers;
using InferenceServer.Engine.Tokenization.OlderFiles;
using InferenceServer.Engine.Tokenization.PostProcessors;
using InferenceServer.Engine.Tokenization.PreTokenizers;

namespace InferenceServer.Engine.Tokenization;

/// <summary>Reads a folder's tokenizer.json, or what its older files convert to.</summary>
internal static class TokenizerReader
{
    private const string File = "tokenizer.json";

    /// <summary>Builds the tokenizer of a folder.</summary>
    public static Tokenizer Load(string folder, TokenizerConfigUse use, string? id)
    {
        using var document = TokenizerConfig.Open(folder, File);
        var settings = new FolderSettings(folder);
        var config = new TokenizerConfig(folder);
        var notes = new FolderNotes(id ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))), use);
        return document is null ? LoadOlder(folder, settings, config, notes) : Load(folder, document, settings, config, notes, use == TokenizerConfigUse.Follow);
    }

    private static Tokenizer LoadOlder(string folder, FolderSettings settings, TokenizerConfig config, FolderNotes notes)
    {
        var older = OlderFolder.Convert(folder, settings, notes.All) ?? throw new ModelLoadException(
            $"{File} is missing, and older files (vocab.txt; vocab.json and merges.txt; a SentencePiece model) are not there either; put the tokenizer's files into the folder.");
        if (settings.Class is null)
        {
            notes.All.Insert(0, $"There is no {File}, and no file names the tokenizer's class: {older.File} is read as its name and content suggest. Name tokenizer_class in tokenizer_config.json, or save the fast tokenizer into the folder, to settle it.");
        }

        return new Tokenizer(Parse(older.Json, older.File) with { Target = older.Target is null ? null : Parse(older.Target, older.File) }, config, notes.All);
    }

    private static Tokenizer Load(string folder, JsonDocument document, FolderSettings settings, TokenizerConfig config, FolderNotes notes, bool follow)
    {
        var parts = Read(document);
        if (FolderFiles.Find(folder, "target.spm") is not null && OlderFolder.Convert(folder, settings, []) is { Target: { } target } pair)
        {
            // tokenizer.json holds the source side only.
            parts = parts with { Target = Parse(target, pair.File) };
        }

        if (settings.OtherWords is { } other)
        {
            if (follow)
            {
                throw new ModelLoadException($"tokenizer_config.json: {other}: words are found by another program, which is not available here; leave Models:...:TokenizerConfig at tokenizer, so that tokenizer.json is followed.");
            }

            notes.All.Add($"tokenizer_config.json: {other}, a tokenizer that transformers has no fast version of: it finds words by another program, and tokenizer.json, which is followed here, may cut texts in another way.");
        }

        var root = new JsonPart(File, "$", document.RootElement);
        var family = TokenizerFamily.Of(settings.Class);
        var differences = new ConfigDifferences(root, settings, family, follow, notes);
        if (follow && differences.ConvertsAnew(parts))
        {
            notes.All.Add($"tokenizer_config.json: $.add_prefix_space differs from {File}: the SentencePiece model is converted anew, as transformers 4.57 does.");
            var older = OlderFolder.Convert(folder, settings, notes.All) ?? throw new ModelLoadException(
                $"tokenizer_config.json: $.add_prefix_space differs from {File}, for which transformers converts the SentencePiece model anew, and the folder has none; put it there, or leave Models:...:TokenizerConfig at tokenizer.");
            return new Tokenizer(Parse(older.Json, older.File), config, notes.All);
        }

        var listed = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var token in root.Has("added_tokens") ? root.Items("added_tokens") : [])
        {
            listed.TryAdd(token.String("content"), token.Int("id"));
        }

        var tokens = FolderTokens.Read(settings, family, listed, text => parts.Model.Vocabulary.Id(text) >= 0);
        var added = tokens.Where(token => !listed.ContainsKey(token.Token.Content)).ToList();
        parts = parts with { LaterTokens = [.. (follow ? tokens : added).Select(static token => token.Token)] };
        var known = new AddedVocabulary(parts.AddedTokens, parts.LaterTokens, parts.Model, parts.Normalizer);
        parts = differences.Apply(parts, IdOf);
        notes.Tokens(added, [.. from token in tokens from own in parts.AddedTokens where own.Content == token.Token.Content && own != token.Token select (own, token)], IdOf);
        if (parts.Model.Vocabulary.Shared is { Count: > 0 } shared)
        {
            notes.All.Add(
                $"{File}: $.model.vocab: '{shared.First}' and '{shared.Second}' have one id, {shared.Id}{(shared.Count > 1 ? $" ({shared.Count} such tokens)" : "")}: texts of both get it, and it is decoded as the later one (the reference takes either).");
        }

        var moved = listed.Where(token => known.Id(token.Key) is { } id && id != token.Value).ToList();
        if (moved.Count > 0)
        {
            notes.All.Add(
                $"{File}: $.added_tokens: '{moved[0].Key}' has the id {moved[0].Value} there and gets {known.Id(moved[0].Key)}{(moved.Count > 1 ? $" ({moved.Count} such tokens)" : "")}, as in the reference: a token of the vocabulary keeps its id, and others are numbered after the vocabulary.");
        }

        if (parts.PostProcessor is { } processor && processor.Results(2, true) is null)
        {
            notes.All.Add($"{File}: $.post_processor: pairs of texts are refused: a template gets more than two pieces of the one before it, which the reference crashes on.");
        }

        return new Tokenizer(parts, config, notes.All);

        int? IdOf(string token) => known.Id(token) ?? (parts.Model.Vocabulary.Id(token) is >= 0 and var found ? found : null);
    }

    /// <summary>Builds a tokenizer of the bytes of a tokenizer.json alone.</summary>
    internal static TokenizerParts Parse(ReadOnlyMemory<byte> utf8, string file = File)
    {
        using var document = JsonPart.Parse(file, utf8);
        return Read(document, file);
    }

    private static TokenizerParts Read(JsonDocument document, string file = File)
    {
        var root = new JsonPart(file, "$", document.RootElement);
        try
        {
            return new TokenizerParts
            {
                Normalizer = Part(root, "normalizer", NormalizerFactory.Create),
                PreTokenizer = Part(root, "pre_tokenizer", PreTokenizerFactory.Create),
                Model = ModelFactory.Create(root.Member("model")),
                PostProcessor = Part(root, "post_processor", PostProcessorFactory.Create),
                Decoder = Part(root, "decoder", DecoderFactory.Create),
                AddedTokens = root.Has("added_tokens") ? root.Items("added_tokens").Select(Token).ToArray() : [],
                Truncation = root.Optional("truncation") is { IsNull: false } truncation ? ReadTruncation(truncation) : null,
                Padding = root.Optional("padding") is { IsNull: false } padding ? ReadPadding(padding) : null,
                Names = new Dictionary<string, string>
                {
                    ["normalizer"] = Name(root.Optional("normalizer")),
                    ["pre_tokenizer"] = Name(root.Optional("pre_tokenizer")),
                    ["model"] = Name(root.Optional("model")),
                    ["post_processor"] = Name(root.Optional("post_processor")),
                    ["decoder"] = Name(root.Optional("decoder")),
                },
            };
        }
        catch (InvalidOperationException e)
        {
            // A member's name with half an escaped surrogate pair: the JSON reader finds out only when it is asked for.
            throw root.Error("holds a string with half a character (a lone surrogate).").With(e);
        }
    }

    private static ModelLoadException With(this ModelLoadException error, Exception inner) => new(error.Message, inner);

    private static T? Part<T>(JsonPart root, string name, Func<JsonPart, T> create)
        where T : class
    {
        var part = root.Optional(name);
        return part.IsNull ? null : create(part);
    }

    private static AddedToken Token(JsonPart part)
    {
        part.Int("id");
        return new AddedToken(
            part.String("content"), part.Bool("single_word"), part.Bool("lstrip"), part.Bool("rstrip"), part.Bool("normalized"), part.Bool("special"));
    }

    private static Truncation ReadTruncation(JsonPart part) => new(
        part.Int("max_length"),
        part.Int("stride"),
        part.String("strategy") switch
        {
            "LongestFirst" => TruncationStrategy.LongestFirst,
            "OnlyFirst" => TruncationStrategy.OnlyFirst,
            "OnlySecond" => TruncationStrategy.OnlySecond,
            var other => throw part.Unsupported("strategy", other),
        },
        ReadSide(part));

    private static Padding ReadPadding(JsonPart part)
    {
        var strategy = part.Member("strategy");
        int? length = strategy.Kind == JsonValueKind.Object
            ? strategy.Int("Fixed")
            : strategy.AsString() == "BatchLongest" ? null : throw part.Unsupported("strategy", strategy.AsString());
        return new Padding(length, ReadSide(part), part.OptionalInt("pad_to_multiple_of"), part.Int("pad_id"), part.Int("pad_type_id"), part.String("pad_token"));
    }

    private static Side ReadSide(JsonPart part) => part.OptionalString("direction") switch
    {
        null or "Right" => Side.Right,
        "Left" => Side.Left,
        var other => throw part.Unsupported("direction", other),
    };

    // Sequence[NFD, Lowercase]
    private static string Name(JsonPart part)
    {
        if (part.Kind != JsonValueKind.Object)
        {
            return "none";
        }

        var type = part.OptionalString("type") ?? "unnamed";
        foreach (var list in (ReadOnlySpan<string>)["normalizers", "pretokenizers", "processors", "decoders"])
        {
            if (part.Optional(list).Kind == JsonValueKind.Array)
            {
                return $"{type}[{string.Join(", ", part.Items(list).Select(Name))}]";
            }
        }

        return type;
    }
}
