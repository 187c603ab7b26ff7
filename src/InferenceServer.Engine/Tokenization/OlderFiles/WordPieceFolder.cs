using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization.OlderFiles;

/// <summary>vocab.txt, one token a line: WordPiece, as BERT and its kin have it.</summary>
internal static class WordPieceFolder
{
    private static readonly HashSet<string> Known = new(StringComparer.Ordinal)
    {
        "BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer", "ConvBertTokenizer", "FunnelTokenizer", "LayoutLMTokenizer",
        "LxmertTokenizer", "RetriBertTokenizer", "SqueezeBertTokenizer", "MPNetTokenizer", "RealmTokenizer", "SplinterTokenizer", "DPRContextEncoderTokenizer",
        "DPRQuestionEncoderTokenizer", "DPRReaderTokenizer", "NystromformerTokenizer", "NomicBertTokenizer",
        "model_type bert", "model_type distilbert", "model_type electra", "model_type mobilebert", "model_type convbert", "model_type funnel",
        "model_type layoutlm", "model_type lxmert", "model_type retribert", "model_type squeezebert", "model_type mpnet", "model_type realm",
        "model_type splinter", "model_type dpr", "model_type nystromformer", "model_type nomic_bert", "model_type visual_bert",
        "model_type megatron-bert", "model_type qdqbert",
    };

    /// <summary>Converts the folder.</summary>
    public static JsonObject Convert(string folder, FolderSettings settings, List<string> notes)
    {
        if (settings.OtherWords is { } other)
        {
            throw new ModelLoadException(
                $"tokenizer_config.json: {other}{(settings.Class is { } own ? $" (of a {own})" : "")}: vocab.txt is cut by another program than WordPiece's, which is not available here; save the tokenizer as a fast tokenizer (tokenizer.json) if the model has one.");
        }

        if (settings.Class is { } name && !Known.Contains(name))
        {
            throw OlderFolder.Unsupported(settings, "vocab.txt");
        }

        var vocabulary = new Dictionary<string, int>(StringComparer.Ordinal);
        var line = 0;
        foreach (var token in OlderFolder.Lines(folder, "vocab.txt"))
        {
            vocabulary[token] = line++;
        }

        if (vocabulary.TryGetValue(string.Empty, out var empty) && empty == line - 1)
        {
            vocabulary.Remove(string.Empty); // the end of the last line
        }

        if (settings.Flag("do_basic_tokenize") == false)
        {
            notes.Add("tokenizer_config.json: $.do_basic_tokenize is false, which the fast tokenizers of transformers do not read: texts are cut at spaces and punctuation all the same.");
        }

        if (!vocabulary.Keys.Any(static token => token.StartsWith("##", StringComparison.Ordinal)))
        {
            notes.Add("vocab.txt has no piece that begins with ##: every word that is not in the list as a whole is the unknown token. If the model cuts texts into characters or in another way, it needs a tokenizer.json.");
        }

        int? Id(string token) => vocabulary.TryGetValue(token, out var id) ? id : null;
        var mpnet = settings.Class is "MPNetTokenizer" or "model_type mpnet" || settings.Token("cls_token") == "<s>";
        var defaults = new Dictionary<string, string>
        {
            ["unk_token"] = "[UNK]",
            ["sep_token"] = mpnet ? "</s>" : "[SEP]",
            ["pad_token"] = mpnet ? "<pad>" : "[PAD]",
            ["cls_token"] = mpnet ? "<s>" : "[CLS]",
            ["mask_token"] = mpnet ? "<mask>" : "[MASK]",
        };
        if (mpnet)
        {
            defaults["bos_token"] = "<s>";
            defaults["eos_token"] = "</s>";
        }

        string cls = settings.Token("cls_token", defaults["cls_token"])!, sep = settings.Token("sep_token", defaults["sep_token"])!;
        var post = mpnet
            ? Roberta(cls, sep, Id, addPrefixSpace: false)
            : settings.Class is "FunnelTokenizer" or "model_type funnel"
                ? Parts.Template($"{cls}:2 $A:0 {sep}:0", $"{cls}:2 $A:0 {sep}:0 $B:1 {sep}:1", Id)
                : Parts.ClsAndSep(cls, sep, Id);
        return OlderFolder.Assemble(
            settings.AddedTokens(defaults, role => new TokenFlags { Special = true, LeftStrip = mpnet && role == "mask_token" }, [], Id),
            Parts.Of(
                "BertNormalizer",
                ("clean_text", true),
                ("handle_chinese_chars", settings.Flag("tokenize_chinese_chars") ?? true),
                ("strip_accents", settings.Flag("strip_accents")),
                ("lowercase", settings.Flag("do_lower_case") ?? true)),
            Parts.Of("BertPreTokenizer"),
            post,
            Parts.Of("WordPiece", ("prefix", "##"), ("cleanup", true)),
            Parts.Of(
                "WordPiece",
                ("unk_token", settings.Token("unk_token", "[UNK]")),
                ("continuing_subword_prefix", "##"),
                ("max_input_chars_per_word", 100),
                ("vocab", OlderFolder.Write(vocabulary))));
    }

    /// <summary>A RobertaProcessing: two separators between a pair.</summary>
    internal static JsonObject Roberta(string cls, string sep, Func<string, int?> id, bool addPrefixSpace, bool trimOffsets = true) => Parts.Of(
        "RobertaProcessing",
        ("sep", new JsonArray(sep, Parts.Known(sep, id))),
        ("cls", new JsonArray(cls, Parts.Known(cls, id))),
        ("trim_offsets", trimOffsets),
        ("add_prefix_space", addPrefixSpace));
}
