using System.Text.Json.Nodes;

namespace InferenceServer.Engine.Tokenization.OlderFiles;

/// <summary>vocab.json and merges.txt: byte-level BPE as GPT-2, RoBERTa, Qwen2 and CLIP have it.</summary>
internal static class BpeFolder
{
    private const string QwenSplit =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string ClipSplit = @"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

    /// <summary>Converts the folder.</summary>
    public static JsonObject Convert(string folder, FolderSettings settings)
    {
        var vocabulary = OlderFolder.Vocabulary(folder);
        int? Id(string token) => vocabulary.TryGetValue(token, out var id) ? id : null;
        switch (settings.Class)
        {
            case "GPT2Tokenizer" or "CodeGenTokenizer" or "model_type gpt2" or "model_type gpt_neo" or "model_type gptj" or "model_type codegen" or "model_type opt" or "model_type phi":
                return Gpt2(folder, settings, vocabulary, Id);
            case "Qwen2Tokenizer" or "model_type qwen2" or "model_type qwen3" or "model_type qwen2_moe" or "model_type qwen3_moe":
                return Qwen2(folder, settings, vocabulary, Id);
            case "CLIPTokenizer" or "model_type clip" or "model_type clip_text_model":
                return Clip(folder, settings, vocabulary, Id);
            case "RobertaTokenizer" or "BartTokenizer" or "LongformerTokenizer" or "LEDTokenizer" or "MvpTokenizer" or "model_type roberta"
                or "model_type bart" or "model_type longformer" or "model_type led" or "model_type mvp" or "model_type data2vec-text":
                return Roberta(folder, settings, vocabulary, Id);
            case "DebertaTokenizer" or "model_type deberta":
                return Deberta(folder, settings, vocabulary, Id);
            case not null:
                throw OlderFolder.Unsupported(settings, "vocab.json and merges.txt");
            default:
                // Nothing is named: CLIP ends its words in </w>; RoBERTa's kin wrap texts in <s> and </s>; what is left is GPT-2.
                return vocabulary.Keys.Count(static token => token.EndsWith("</w>", StringComparison.Ordinal)) > vocabulary.Count / 10
                    ? Clip(folder, settings, vocabulary, Id)
                    : vocabulary.ContainsKey("<s>") && vocabulary.ContainsKey("</s>") && vocabulary.ContainsKey("<mask>")
                        ? Roberta(folder, settings, vocabulary, Id)
                        : Gpt2(folder, settings, vocabulary, Id);
        }
    }

    private static JsonObject Gpt2(string folder, FolderSettings settings, Dictionary<string, int> vocabulary, Func<string, int?> id)
    {
        var prefix = settings.Flag("add_prefix_space") ?? false;
        var bos = settings.Token("bos_token", "<|endoftext|>");
        var end = vocabulary.ContainsKey("<|endoftext|>")
            ? new Dictionary<string, string> { ["bos_token"] = "<|endoftext|>", ["eos_token"] = "<|endoftext|>", ["unk_token"] = "<|endoftext|>" }
            : [];
        return OlderFolder.Assemble(
            settings.AddedTokens(end, static _ => new TokenFlags { Special = true, Normalized = true }, [], id),
            null,
            Parts.ByteLevel(prefix, trimOffsets: true),
            settings.Flag("add_bos_token") == true && bos is not null
                ? Parts.Template($"{bos}:0 $A:0", $"{bos}:0 $A:0 $B:1", id)
                : Parts.ByteLevel(addPrefixSpace: true, trimOffsets: false),
            Parts.ByteLevel(addPrefixSpace: true, trimOffsets: true),
            Model(folder, vocabulary));
    }

    private static JsonObject Roberta(string folder, FolderSettings settings, Dictionary<string, int> vocabulary, Func<string, int?> id)
    {
        var prefix = settings.Flag("add_prefix_space") ?? false;
        var defaults = Parts.Roles(bos: "<s>", eos: "</s>", unk: "<unk>", sep: "</s>", pad: "<pad>", cls: "<s>", mask: "<mask>");
        return OlderFolder.Assemble(
            settings.AddedTokens(defaults, static role => new TokenFlags { Special = true, Normalized = role != "mask_token", LeftStrip = role == "mask_token" }, [], id),
            null,
            Parts.ByteLevel(prefix, trimOffsets: true),
            WordPieceFolder.Roberta(settings.Token("cls_token", "<s>")!, settings.Token("sep_token", "</s>")!, id, prefix, settings.Flag("trim_offsets") ?? true),
            Parts.ByteLevel(addPrefixSpace: true, trimOffsets: true),
            Model(folder, vocabulary));
    }

    private static JsonObject Deberta(string folder, FolderSettings settings, Dictionary<string, int> vocabulary, Func<string, int?> id)
    {
        var defaults = Parts.Roles(bos: "[CLS]", eos: "[SEP]", unk: "[UNK]", sep: "[SEP]", pad: "[PAD]", cls: "[CLS]", mask: "[MASK]");
        string cls = settings.Token("cls_token", "[CLS]")!, sep = settings.Token("sep_token", "[SEP]")!;
        return OlderFolder.Assemble(
            settings.AddedTokens(defaults, static role => new TokenFlags { Special = true, Normalized = true, LeftStrip = role == "mask_token" }, [], id),
            null,
            Parts.ByteLevel(settings.Flag("add_prefix_space") ?? false, trimOffsets: true),
            Parts.ClsAndSep(cls, sep, id),
            Parts.ByteLevel(addPrefixSpace: true, trimOffsets: true),
            Model(folder, vocabulary));
    }

    private static JsonObject Qwen2(string folder, FolderSettings settings, Dictionary<string, int> vocabulary, Func<string, int?> id) => OlderFolder.Assemble(
        settings.AddedTokens(new Dictionary<string, string> { ["eos_token"] = "<|endoftext|>", ["pad_token"] = "<|endoftext|>" }, static _ => new TokenFlags { Special = true }, [], id),
        Parts.Of("NFC"),
        Parts.PreTokenizers(Parts.SplitRegex(QwenSplit, "Isolated", invert: false), Parts.ByteLevel(settings.Flag("add_prefix_space") ?? false, trimOffsets: false, useRegex: false)),
        Parts.ByteLevel(addPrefixSpace: false, trimOffsets: false, useRegex: false),
        Parts.ByteLevel(addPrefixSpace: true, trimOffsets: true),
        Model(folder, vocabulary));

    private static JsonObject Clip(string folder, FolderSettings settings, Dictionary<string, int> vocabulary, Func<string, int?> id)
    {
        string bos = settings.Token("bos_token", "<|startoftext|>")!, eos = settings.Token("eos_token", "<|endoftext|>")!;
        var defaults = new Dictionary<string, string> { ["bos_token"] = bos, ["eos_token"] = eos, ["unk_token"] = eos, ["pad_token"] = eos };

        // Tokens that the vocabulary lacks are appended to it, in this order.
        int? IdOrNext(string token) => id(token) ?? (token == bos ? vocabulary.Count : token == eos ? vocabulary.Count + (id(bos) is null ? 1 : 0) : null);
        var model = Model(folder, vocabulary, most: 49152 - 256 - 2);
        model["unk_token"] = settings.Token("unk_token", eos);
        model["end_of_word_suffix"] = "</w>";
        return OlderFolder.Assemble(
            settings.AddedTokens(defaults, static role => new TokenFlags { Special = true, Normalized = role == "bos_token" }, [], id),
            Parts.Normalizers(Parts.Of("NFC"), Parts.ReplaceRegex(@"\s+", " "), Parts.Of("Lowercase")),
            Parts.PreTokenizers(Parts.SplitRegex(ClipSplit, "Removed", invert: true), Parts.ByteLevel(addPrefixSpace: false, trimOffsets: true)),
            WordPieceFolder.Roberta(bos, eos, IdOrNext, addPrefixSpace: false, trimOffsets: false),
            Parts.ByteLevel(addPrefixSpace: true, trimOffsets: true),
            model);
    }

    private static JsonObject Model(string folder, Dictionary<string, int> vocabulary, int most = int.MaxValue)
    {
        var merges = OlderFolder.Lines(folder, "merges.txt").Where(static line => line.Length > 0 && !line.StartsWith("#version", StringComparison.Ordinal));
        return Parts.Of(
            "BPE",
            ("dropout", null),
            ("unk_token", null),
            ("continuing_subword_prefix", null),
            ("end_of_word_suffix", null),
            ("fuse_unk", false),
            ("byte_fallback", false),
            ("vocab", OlderFolder.Write(vocabulary)),
            ("merges", new JsonArray([.. merges.Take(most).Select(static merge => (JsonNode)merge)])));
    }
}
