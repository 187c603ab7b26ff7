using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization.Decoders;
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
    public static Tokenizer Load(string folder)
    {
        using var document = TokenizerConfig.Open(folder, File);
        var config = new TokenizerConfig(folder);
        if (document is null)
        {
            if (OlderFolder.Convert(folder) is { } older)
            {
                return new Tokenizer(Parse(older.Json, older.File) with { Target = older.Target is null ? null : Parse(older.Target, older.File) }, config);
            }

            throw new ModelLoadException($"{File} is missing, and older files (vocab.txt; vocab.json and merges.txt; a SentencePiece model) are not there either; put the tokenizer's files into the folder.");
        }

        var parts = Read(document);
        if (System.IO.File.Exists(Path.Combine(folder, "target.spm")) && OlderFolder.Convert(folder) is { Target: { } target } pair)
        {
            // tokenizer.json holds the source side only.
            parts = parts with { Target = Parse(target, pair.File) };
        }

        return new Tokenizer(parts, config);
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
