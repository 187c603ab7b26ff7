using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization.Normalizers;
using InferenceServer.Engine.Tokenization.OlderFiles;
using InferenceServer.Engine.Tokenization.PostProcessors;
using InferenceServer.Engine.Tokenization.PreTokenizers;

namespace InferenceServer.Engine.Tokenization.Folders;

/// <summary>
/// Compares what tokenizer_config.json says with what tokenizer.json does (by trying it, so that the form does not matter), tells the differences, and where
/// asked takes tokenizer_config.json's side as the tokenizer's class in transformers 4.57 does.
/// </summary>
/// <param name="root">The tokenizer.json.</param>
/// <param name="settings">The other files.</param>
/// <param name="family">The tokenizer's class; null for one that takes tokenizer.json as it is.</param>
/// <param name="follow">Whether tokenizer_config.json's side is taken.</param>
/// <param name="notes">Where differences are told.</param>
internal sealed class ConfigDifferences(JsonPart root, FolderSettings settings, TokenizerFamily? family, bool follow, FolderNotes notes)
{
    private const string File = "tokenizer_config.json";

    /// <summary>The parts as they count.</summary>
    /// <param name="parts">The parts of tokenizer.json.</param>
    /// <param name="idOf">The id of a token, added tokens included.</param>
    /// <exception cref="ModelLoadException">tokenizer_config.json's side cannot be taken.</exception>
    public TokenizerParts Apply(TokenizerParts parts, Func<string, int?> idOf)
    {
        parts = Normalizer(parts);
        parts = PrefixSpace(parts);
        parts = Offsets(parts);
        return Ends(parts, idOf);
    }

    /// <summary>
    /// Whether <c>add_prefix_space</c> differs in a class that converts the SentencePiece model anew for it.
    /// </summary>
    public bool ConvertsAnew(TokenizerParts parts) =>
        family is { ConvertsAnew: true } && settings.Flag("add_prefix_space") is { } says && AddsPrefix(parts) is { } does && does != says;

    private TokenizerParts Normalizer(TokenizerParts parts)
    {
        var part = root.Optional("normalizer");
        var isBert = part.Kind == JsonValueKind.Object && part.OptionalString("type") == "BertNormalizer";
        var sets = isBert && family?.LowerCase is not null;
        var lower = settings.Flag("do_lower_case") ?? (sets ? family!.LowerCase : null);
        var explicitAccents = settings.Flag("strip_accents") ?? (settings.Flag("keep_accents") is { } keeps ? !keeps : null);
        var accents = explicitAccents ?? (sets ? lower : null);
        var chinese = settings.Flag("tokenize_chinese_chars") ?? (sets && family!.SetsChineseCharacters ? true : null);
        var normalizer = parts.Normalizer;
        var changes = false;
        Compare("do_lower_case", lower, Normalized(normalizer, "A").Contains('a', StringComparison.Ordinal), "lower-cases", "keeps capitals", sets);
        Compare(
            settings.Has("strip_accents") || sets ? "strip_accents" : "keep_accents",
            accents,
            !Normalized(new NFD(), Normalized(normalizer, "\u00E9")).Contains('\u0301', StringComparison.Ordinal),
            "takes accents off",
            "keeps accents",
            sets,
            explicitAccents is null && changes); // lower-casing brings it along
        Compare(
            "tokenize_chinese_chars", chinese, !Normalized(normalizer, "\u4E2D\u6587").Contains("\u4E2D\u6587", StringComparison.Ordinal), "sets Chinese characters apart", "does not set Chinese characters apart", sets && family!.SetsChineseCharacters);
        if (!changes || !follow)
        {
            return parts;
        }

        var fields = new Dictionary<string, JsonNode?> { ["lowercase"] = lower, ["strip_accents"] = settings.Flag("strip_accents") };
        if (family!.SetsChineseCharacters)
        {
            fields["handle_chinese_chars"] = chinese;
        }

        return parts with { Normalizer = NormalizerFactory.Create(With(part, fields)) };

        void Compare(string field, bool? says, bool does, string itDoes, string itDoesNot, bool isSet, bool isTold = false)
        {
            if (says is not { } wanted || wanted == does || isTold)
            {
                return;
            }

            changes |= isSet;
            Tell(isSet, field, wanted, does ? itDoes : itDoesNot);
        }
    }

    private TokenizerParts PrefixSpace(TokenizerParts parts)
    {
        var part = root.Optional("pre_tokenizer");
        var isByteLevel = part.Kind == JsonValueKind.Object && part.OptionalString("type") == "ByteLevel";
        var says = settings.Flag("add_prefix_space") ?? (isByteLevel && !settings.Has("add_prefix_space") ? false : null);
        if (says is not { } wanted || AddsPrefix(parts) is not { } does || does == wanted)
        {
            return parts;
        }

        Tell(isByteLevel || family is { ConvertsAnew: true }, "add_prefix_space", wanted, does ? "puts a space before the text" : "puts no space before the text");
        return follow && isByteLevel ? parts with { PreTokenizer = PreTokenizerFactory.Create(With(part, new() { ["add_prefix_space"] = wanted })) } : parts;
    }

    private TokenizerParts Offsets(TokenizerParts parts)
    {
        var part = root.Optional("post_processor");
        var has = part.Kind == JsonValueKind.Object && part.OptionalString("type") is "RobertaProcessing" or "ByteLevel";
        var sets = has && family is { SetsOffsets: true };
        var trims = settings.Flag("trim_offsets") ?? (sets ? true : null);
        var prefix = sets ? settings.Flag("add_prefix_space") ?? false : (bool?)null;
        var differs = false;
        if (trims is { } wanted && parts.PostProcessor is { } processor && processor.TrimsOffsets != wanted)
        {
            differs = sets;
            Tell(sets, "trim_offsets", wanted, processor.TrimsOffsets ? "leaves spaces out of the offsets" : "keeps spaces in the offsets");
        }

        if (prefix is { } excused && part.Bool("add_prefix_space", true) != excused)
        {
            differs = true;
            if (trims == true)
            {
                Tell(true, "add_prefix_space", excused, excused ? "takes the first space for the text's own in the offsets (post_processor)" : "takes the first space for one that was put in (post_processor)");
            }
        }

        return follow && differs
            ? parts with { PostProcessor = PostProcessorFactory.Create(With(part, new() { ["trim_offsets"] = trims, ["add_prefix_space"] = prefix })) }
            : parts;
    }

    private TokenizerParts Ends(TokenizerParts parts, Func<string, int?> idOf)
    {
        var sets = family is { SetsEnds: true };
        var begins = settings.Flag("add_bos_token") ?? (sets ? family!.AddsBegin && !settings.Has("add_bos_token") : null);
        var ends = settings.Flag("add_eos_token") ?? (sets ? false : null);
        if (begins is null && ends is null)
        {
            return parts;
        }

        var (bos, eos) = (settings.Token("bos_token", family?.Roles.GetValueOrDefault("bos_token")), settings.Token("eos_token", family?.Roles.GetValueOrDefault("eos_token")));
        var single = Frame(parts.PostProcessor, pair: false);
        var told = notes.All.Count;
        Compare("add_bos_token", begins, bos, single[0].Id, "at the start");
        Compare("add_eos_token", ends, eos, single[^1].Id, "at the end");
        if (!sets || (begins == true && bos is null) || (ends == true && eos is null))
        {
            return !sets || !follow
                ? parts
                : throw new ModelLoadException($"{File}: add_bos_token or add_eos_token is true, but no file names that token; name it, or leave Models:...:TokenizerConfig at tokenizer.");
        }

        var template = $"{(begins == true ? bos + ":0 " : "")}$A:0{(ends == true ? $" {eos}:0" : "")}";
        var pair = $"{template}{(begins == true ? $" {bos}:1" : "")} $B:1{(ends == true ? $" {eos}:1" : "")}";
        if (notes.All.Count == told && !follow && ((begins == true && idOf(bos!) is null) || (ends == true && idOf(eos!) is null)))
        {
            return parts;
        }

        var other = PostProcessorFactory.Create(new JsonPart(File, "$.post_processor", JsonSerializer.SerializeToElement(OlderFiles.Parts.Template(template, pair, idOf))));
        if (notes.All.Count == told && !Frame(other, pair: true).AsSpan().SequenceEqual(Frame(parts.PostProcessor, pair: true)))
        {
            notes.Differs($"{File}: a {settings.Class} joins a pair of texts as '{pair}'", "joins it in another way (post_processor)");
        }

        return follow && notes.All.Count > told
            ? parts with { PostProcessor = other, Names = new Dictionary<string, string>(parts.Names!) { ["post_processor"] = "TemplateProcessing" } }
            : parts;

        void Compare(string field, bool? says, string? token, int found, string where)
        {
            var does = token is not null && found >= 0 && idOf(token) == found;
            if (says is { } wanted && wanted != does)
            {
                Tell(sets, field, wanted, $"{(does ? "adds" : "does not add")} {(token is null ? "such a token" : $"'{token}'")} {where}");
            }
        }
    }

    private void Tell(bool isSet, string field, bool wanted, string does)
    {
        var value = wanted ? "true" : "false";
        if (settings.Has(field))
        {
            var says = $"{File}: $.{field} is {(settings.Flag(field) is null ? $"null, which {Class} reads as {value}" : field == "keep_accents" ? (wanted ? "false" : "true") : value)}";
            if (isSet)
            {
                notes.Differs(says, does);
            }
            else
            {
                notes.IsNotRead(says, does);
            }
        }
        else
        {
            notes.Differs($"{File}: $.{field} is missing, which {Class} reads as {value}", does);
        }
    }

    private string Class => settings.Class is not { } name ? "the fast tokenizer of transformers"
        : name.StartsWith(FolderSettings.ByModelType, StringComparison.Ordinal) ? $"the fast tokenizer that transformers has for {name}" : $"{name}Fast of transformers";

    private static JsonPart With(JsonPart part, Dictionary<string, JsonNode?> fields)
    {
        var json = JsonObject.Create(part.Element.Clone())!;
        foreach (var (name, value) in fields)
        {
            json[name] = value;
        }

        return new JsonPart(part.File, part.Path, JsonSerializer.SerializeToElement(json));
    }

    private static string Normalized(Normalizer? normalizer, string text)
    {
        var normalized = new NormalizedString(text);
        normalizer?.Normalize(normalized);
        return normalized.ToString();
    }

    // Whether the first piece of a text begins with something that the text does not; null when the text is not found.
    private static bool? AddsPrefix(TokenizerParts parts)
    {
        var pieces = new PreTokenizedString();
        var text = pieces.NewText();
        text.Reset("x");
        parts.Normalizer?.Normalize(text);
        text.Rebase();
        pieces.Add(new Piece(text, 0, text.Length, -1, false));
        parts.PreTokenizer?.PreTokenize(pieces);
        var all = string.Concat(pieces.Pieces.ToArray().Select(static piece => piece.Span.ToString()));
        return all.IndexOf('x', StringComparison.OrdinalIgnoreCase) is >= 0 and var at ? at > 0 : null;
    }

    // What surrounds a text of one token: ids and segments, -1 for the text and -2 for the second one.
    private static (int Id, int TypeId)[] Frame(PostProcessor? processor, bool pair)
    {
        var room = EncodeWorkspace.Current;
        room.Release();
        if (pair && processor?.Results(2, true) is null && processor is not null)
        {
            return [];
        }

        EncodingBuilder? second = null;
        if (pair)
        {
            second = One(room.Second, 1);
        }

        var draft = PostProcessor.Run(processor, One(room.First, 0), second, true);
        var frame = draft.Segments.Select(segment => (segment.Special?.Id ?? (segment.Row == room.First ? -1 : -2), segment.TypeId)).ToArray();
        room.Release();
        return frame;

        static EncodingBuilder One(TokenRow row, int typeId)
        {
            row.Reset("x", typeId);
            row.Reserve(1);
            row.Add(0, 0, 1, 0);
            return EncodingBuilder.Of(row, 0, 1);
        }
    }
}
