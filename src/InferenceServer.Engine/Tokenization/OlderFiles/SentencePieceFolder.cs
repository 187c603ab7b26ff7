using System.Text.Json.Nodes;
using Google.Protobuf;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization.OlderFiles.Proto;
using PieceType = InferenceServer.Engine.Tokenization.OlderFiles.Proto.ModelProto.Types.SentencePiece.Types.Type;

namespace InferenceServer.Engine.Tokenization.OlderFiles;

/// <summary>A SentencePiece model (Unigram or BPE) with the conventions of its family.</summary>
internal static class SentencePieceFolder
{
    private const string Spaces = " {2,}";

    /// <summary>Converts the folder.</summary>
    public static JsonObject Convert(string folder, string file, FolderSettings settings)
    {
        var model = Read(folder, file);
        switch (settings.Class)
        {
            case "AlbertTokenizer" or "model_type albert":
                return Albert(model, file, settings);
            case "XLNetTokenizer" or "model_type xlnet":
                return XlNet(model, file, settings);
            case "XLMRobertaTokenizer" or "model_type xlm-roberta" or "model_type xlm-roberta-xl":
                return XlmRoberta(model, file, settings);
            case "CamembertTokenizer" or "model_type camembert":
                return Camembert(model, file, settings);
            case "T5Tokenizer" or "model_type t5" or "model_type mt5" or "model_type umt5" or "model_type longt5" or "model_type switch_transformers":
                return T5(model, file, settings);
            case "DebertaV2Tokenizer" or "model_type deberta-v2":
                return DebertaV2(model, file, settings);
            case "BigBirdTokenizer" or "model_type big_bird":
                return BigBird(model, file, settings);
            case "LlamaTokenizer" or "CodeLlamaTokenizer" or "model_type llama" or "model_type mistral" or "model_type mixtral" or "model_type phi3":
                return Llama(model, file, settings);
            case not null:
                throw OlderFolder.Unsupported(settings, file);
            default:
                // Nothing is named: what the model and the name of its file tell.
                return model.TrainerSpec.ByteFallback ? Llama(model, file, settings)
                    : file == "sentencepiece.bpe.model" ? XlmRoberta(model, file, settings)
                    : file == "spm.model" ? DebertaV2(model, file, settings)
                    : !Has(model, "[CLS]") ? T5(model, file, settings)
                    : model.TrainerSpec.ModelType == TrainerSpec.Types.ModelType.Bpe ? BigBird(model, file, settings)
                    : Albert(model, file, settings);
        }
    }

    /// <summary>Reads a model file.</summary>
    internal static ModelProto Read(string folder, string file)
    {
        try
        {
            var model = ModelProto.Parser.ParseFrom(OlderFolder.Read(folder, file));
            model.TrainerSpec ??= new TrainerSpec();
            model.NormalizerSpec ??= new NormalizerSpec();
            return model.Pieces.Count > 0
                ? model
                : throw new ModelLoadException($"{file}: this is no SentencePiece model (it has no pieces); download the file again.");
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new ModelLoadException($"{file}: this is no SentencePiece model ({e.Message}); download the file again.", e);
        }
    }

    /// <summary>The charsmap of the model as a Precompiled, or null when it has none.</summary>
    internal static JsonObject? Charsmap(ModelProto model) => model.NormalizerSpec.PrecompiledCharsmap is { IsEmpty: false } map
        ? Parts.Of("Precompiled", ("precompiled_charsmap", map.ToBase64()))
        : null;

    private static JsonObject Albert(ModelProto model, string file, FolderSettings settings)
    {
        var vocabulary = new Vocabulary(model, file, NumberWithComma(model));
        string cls = settings.Token("cls_token", "[CLS]")!, sep = settings.Token("sep_token", "[SEP]")!;
        var defaults = Parts.Roles(bos: "[CLS]", eos: "[SEP]", unk: "<unk>", sep: "[SEP]", pad: "<pad>", cls: "[CLS]", mask: "[MASK]");
        return vocabulary.Assemble(
            settings.AddedTokens(defaults, MaskStripsLeft, vocabulary.Marked(), vocabulary.Id),
            AlbertNormalizer(model, settings),
            Parts.Metaspace(Scheme(settings)),
            Parts.ClsAndSep(cls, sep, vocabulary.Id),
            Parts.Metaspace(Scheme(settings)),
            model.TrainerSpec.UnkId);
    }

    private static JsonObject XlNet(ModelProto model, string file, FolderSettings settings)
    {
        var vocabulary = new Vocabulary(model, file, NumberWithComma(model));
        string cls = settings.Token("cls_token", "<cls>")!, sep = settings.Token("sep_token", "<sep>")!;
        var defaults = Parts.Roles(bos: "<s>", eos: "</s>", unk: "<unk>", sep: "<sep>", pad: "<pad>", cls: "<cls>", mask: "<mask>");
        return vocabulary.Assemble(
            settings.AddedTokens(defaults, MaskStripsLeft, vocabulary.Marked(), vocabulary.Id),
            AlbertNormalizer(model, settings, lowercase: false),
            Parts.Metaspace(Scheme(settings)),
            Parts.Template($"$A:0 {sep}:0 {cls}:2", $"$A:0 {sep}:0 $B:1 {sep}:1 {cls}:2", vocabulary.Id),
            Parts.Metaspace(Scheme(settings)),
            model.TrainerSpec.UnkId);
    }

    private static JsonObject XlmRoberta(ModelProto model, string file, FolderSettings settings)
    {
        // The ids of fairseq: four tokens of its own in the place of the model's first three, and the mask at the end.
        List<(string, float)> pieces = [("<s>", 0), ("<pad>", 0), ("</s>", 0), ("<unk>", 0), .. model.Pieces.Skip(3).Select(static p => (p.Piece, p.Score)), ("<mask>", 0)];
        return Fairseq(new Vocabulary(model, file, pieces), model, settings);
    }

    private static JsonObject Camembert(ModelProto model, string file, FolderSettings settings)
    {
        List<(string, float)> pieces =
        [
            ("<s>NOTUSED", 0), ("<pad>", 0), ("</s>NOTUSED", 0), ("<unk>", 0), ("<unk>NOTUSED", -100), .. model.Pieces.Skip(1).Select(static p => (p.Piece, p.Score)), ("<mask>", 0),
        ];
        return Fairseq(new Vocabulary(model, file, pieces), model, settings);
    }

    private static JsonObject Fairseq(Vocabulary vocabulary, ModelProto model, FolderSettings settings)
    {
        string cls = settings.Token("cls_token", "<s>")!, sep = settings.Token("sep_token", "</s>")!;
        var defaults = Parts.Roles(bos: "<s>", eos: "</s>", unk: "<unk>", sep: "</s>", pad: "<pad>", cls: "<s>", mask: "<mask>");
        return vocabulary.Assemble(
            settings.AddedTokens(defaults, MaskStripsLeft, vocabulary.Marked(), vocabulary.Id),
            Normalizer(model),
            Parts.Metaspace(Scheme(settings)),
            Parts.Template($"{cls}:0 $A:0 {sep}:0", $"{cls}:0 $A:0 {sep}:0 {sep}:0 $B:0 {sep}:0", vocabulary.Id),
            Parts.Metaspace(Scheme(settings)),
            3);
    }

    private static JsonObject T5(ModelProto model, string file, FolderSettings settings)
    {
        var extra = settings.Number("extra_ids") ?? 100;
        var pieces = model.Pieces.Select(static p => (p.Piece, p.Score)).ToList();
        for (var i = Math.Min(extra, 10_000) - 1; i >= 0; i--)
        {
            pieces.Add(($"<extra_id_{i}>", 0));
        }

        var vocabulary = new Vocabulary(model, file, pieces);
        var eos = settings.Token("eos_token", "</s>")!;
        var defaults = new Dictionary<string, string> { ["eos_token"] = "</s>", ["unk_token"] = "<unk>", ["pad_token"] = "<pad>" };
        var extras = Enumerable.Range(0, Math.Min(extra, 10_000)).Select(static i => ($"<extra_id_{i}>", new TokenFlags { Special = true, LeftStrip = true, RightStrip = true }));
        return vocabulary.Assemble(
            settings.AddedTokens(defaults, static _ => new TokenFlags { Special = true }, vocabulary.Marked().Concat(extras), vocabulary.Id),
            Normalizer(model),
            Parts.Metaspace(Scheme(settings)),
            Parts.Template($"$A:0 {eos}:0", $"$A:0 {eos}:0 $B:0 {eos}:0", vocabulary.Id),
            Parts.Metaspace(Scheme(settings)),
            model.TrainerSpec.UnkId);
    }

    private static JsonObject DebertaV2(ModelProto model, string file, FolderSettings settings)
    {
        var vocabulary = new Vocabulary(model, file);
        string cls = settings.Token("cls_token", "[CLS]")!, sep = settings.Token("sep_token", "[SEP]")!, unknown = settings.Token("unk_token", "[UNK]")!;
        var defaults = Parts.Roles(bos: "[CLS]", eos: "[SEP]", unk: "[UNK]", sep: "[SEP]", pad: "[PAD]", cls: "[CLS]", mask: "[MASK]");
        return vocabulary.Assemble(
            settings.AddedTokens(defaults, static role => new TokenFlags { Special = true, Normalized = role == "unk_token" }, vocabulary.Marked(), vocabulary.Id),
            Parts.Normalizers(
                settings.Flag("do_lower_case") == true ? Parts.Of("Lowercase") : null,
                Parts.Of("Strip", ("strip_left", true), ("strip_right", true)),
                Charsmap(model),
                Parts.ReplaceRegex(Spaces, " ")),
            Parts.PreTokenizers(
                settings.Flag("split_by_punct") == true ? Parts.Of("Punctuation", ("behavior", "Isolated")) : null,
                Parts.Metaspace(Scheme(settings))),
            Parts.ClsAndSep(cls, sep, vocabulary.Id),
            Parts.Metaspace(Scheme(settings)),
            vocabulary.Id(unknown) ?? model.TrainerSpec.UnkId);
    }

    private static JsonObject BigBird(ModelProto model, string file, FolderSettings settings)
    {
        var vocabulary = new Vocabulary(model, file);
        string cls = settings.Token("cls_token", "[CLS]")!, sep = settings.Token("sep_token", "[SEP]")!;
        var defaults = Parts.Roles(bos: "<s>", eos: "</s>", unk: "<unk>", sep: "[SEP]", pad: "<pad>", cls: "[CLS]", mask: "[MASK]");
        return vocabulary.Assemble(
            settings.AddedTokens(defaults, static role => new TokenFlags { Special = true, Normalized = true, LeftStrip = role == "mask_token" }, vocabulary.Marked(), vocabulary.Id),
            Normalizer(model),
            Parts.Metaspace(Scheme(settings)),
            Parts.ClsAndSep(cls, sep, vocabulary.Id),
            Parts.Metaspace(Scheme(settings)),
            model.TrainerSpec.UnkId);
    }

    private static JsonObject Llama(ModelProto model, string file, FolderSettings settings)
    {
        var legacy = settings.Flag("legacy") ?? true;
        var prefix = settings.Flag("add_prefix_space") ?? true;
        var pieces = model.Pieces.Select(static (p, i) => (p.Piece, i < 3 ? 0 : p.Score)).ToList();
        var vocabulary = new Vocabulary(model, file, pieces, byteFallback: true);
        string bos = settings.Token("bos_token", "<s>") ?? "<s>", eos = settings.Token("eos_token", "</s>") ?? "</s>";
        var (begin, end) = (settings.Flag("add_bos_token") ?? true, settings.Flag("add_eos_token") ?? false);
        var single = $"{(begin ? bos + ":0 " : string.Empty)}$A:0{(end ? $" {eos}:0" : string.Empty)}";
        var pair = $"{single}{(begin ? $" {bos}:1" : string.Empty)} $B:1{(end ? $" {eos}:1" : string.Empty)}";
        var defaults = new Dictionary<string, string> { ["bos_token"] = "<s>", ["eos_token"] = "</s>", ["unk_token"] = "<unk>" };
        return vocabulary.Assemble(
            settings.AddedTokens(defaults, static _ => new TokenFlags { Special = true }, vocabulary.Marked(), vocabulary.Id),
            legacy
                ? Parts.Normalizers(prefix ? Parts.Of("Prepend", ("prepend", Parts.Space)) : null, Parts.ReplaceString(" ", Parts.Space))
                : null,
            legacy ? null : Parts.Metaspace(prefix ? "first" : "never", split: false),
            begin || end ? Parts.Template(single, pair, vocabulary.Id) : null,
            Parts.Decoders(
                Parts.ReplaceString(Parts.Space, " "),
                Parts.Of("ByteFallback"),
                Parts.Of("Fuse"),
                prefix ? Parts.Of("Strip", ("content", " "), ("start", 1), ("stop", 0)) : null),
            0);
    }

    private static TokenFlags MaskStripsLeft(string role) => new() { Special = true, LeftStrip = role == "mask_token" };

    private static string Scheme(FolderSettings settings) =>
        settings.Flag("add_prefix_space") == false ? "never" : settings.Flag("legacy") == false ? "first" : "always";

    private static JsonObject Normalizer(ModelProto model) => Parts.Normalizers(
        Charsmap(model), Parts.Of("Strip", ("strip_left", false), ("strip_right", true)), Parts.ReplaceRegex(Spaces, Parts.Space));

    private static JsonObject AlbertNormalizer(ModelProto model, FolderSettings settings, bool lowercase = true)
    {
        var strips = settings.Flag("keep_accents") != true;
        return Parts.Normalizers(
            Parts.ReplaceString("``", "\""),
            Parts.ReplaceString("''", "\""),
            strips ? Parts.Of("NFKD") : null,
            strips ? Parts.Of("StripAccents") : null,
            settings.Flag("do_lower_case") ?? lowercase ? Parts.Of("Lowercase") : null,
            Charsmap(model),
            Parts.ReplaceRegex(Spaces, " "));
    }

    // A piece that ends in a digit and a comma is put back, so that the comma stays apart.
    private static List<(string, float)> NumberWithComma(ModelProto model) =>
        [.. model.Pieces.Select(static p => (p.Piece, p.Piece.Length >= 2 && p.Piece[^1] == ',' && char.IsDigit(p.Piece[^2]) ? p.Score - 100 : p.Score))];

    private static bool Has(ModelProto model, string piece) => model.Pieces.Any(p => p.Piece == piece);

    // The pieces with their ids, and the model part of tokenizer.json.
    private sealed class Vocabulary
    {
        private readonly Dictionary<string, int> ids = new(StringComparer.Ordinal);
        private readonly List<(string Piece, float Score)> pieces;
        private readonly ModelProto model;
        private readonly string file;
        private readonly bool byteFallback;

        public Vocabulary(ModelProto model, string file, List<(string Piece, float Score)>? pieces = null, bool byteFallback = false)
        {
            (this.model, this.file, this.byteFallback) = (model, file, byteFallback);
            this.pieces = pieces ?? [.. model.Pieces.Select(static p => (p.Piece, p.Score))];
            for (var i = 0; i < this.pieces.Count; i++)
            {
                ids[this.pieces[i].Piece] = i;
            }
        }

        public int? Id(string token) => ids.TryGetValue(token, out var id) ? id : null;

        public IEnumerable<(string Token, TokenFlags Flags)> Marked() => model.Pieces
            .Where(static p => p.Type is PieceType.Control or PieceType.UserDefined)
            .Select(static p => (p.Piece, new TokenFlags { Special = p.Type == PieceType.Control }))
            .Where(p => ids.ContainsKey(p.Piece));

        public JsonObject Assemble(JsonArray added, JsonNode? normalizer, JsonNode? preTokenizer, JsonNode? postProcessor, JsonNode? decoder, int unknown)
        {
            var part = model.TrainerSpec.ModelType switch
            {
                TrainerSpec.Types.ModelType.Unigram => Parts.Of(
                    "Unigram",
                    ("unk_id", unknown),
                    ("vocab", new JsonArray([.. pieces.Select(static p => new JsonArray(p.Piece, (double)p.Score))])),
                    ("byte_fallback", byteFallback)),
                TrainerSpec.Types.ModelType.Bpe => Parts.Of(
                    "BPE",
                    ("dropout", null),
                    ("unk_token", model.TrainerSpec.UnkPiece),
                    ("continuing_subword_prefix", null),
                    ("end_of_word_suffix", null),
                    ("fuse_unk", true),
                    ("byte_fallback", byteFallback),
                    ("vocab", OlderFolder.Write(ids)),
                    ("merges", new JsonArray([.. SentencePieceMerges.Of(pieces, ids).Select(static m => new JsonArray(m.Left, m.Right))]))),
                var other => throw new ModelLoadException($"{file}: a SentencePiece model of type {other} is not supported; only Unigram and BPE are."),
            };
            return OlderFolder.Assemble(added, normalizer, preTokenizer, postProcessor, decoder, part);
        }
    }
}
