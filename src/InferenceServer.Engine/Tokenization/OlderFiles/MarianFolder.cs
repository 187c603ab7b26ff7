using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization.OlderFiles;

/// <summary>Marian: source.spm and target.spm cut the texts, vocab.json gives both the ids.</summary>
internal static class MarianFolder
{
    private const float OtherSide = -1e6f;

    /// <summary>The tokenizer of one side.</summary>
    public static JsonObject Convert(string folder, FolderSettings settings, string file)
    {
        var vocabulary = OlderFolder.Vocabulary(folder);
        int? Id(string token) => vocabulary.TryGetValue(token, out var id) ? id : null;
        var model = SentencePieceFolder.Read(folder, file);
        var scores = new Dictionary<string, float>(StringComparer.Ordinal);
        foreach (var piece in model.Pieces)
        {
            scores[piece.Piece] = piece.Score;
        }

        string eos = Token("eos_token", "</s>"), unknown = Token("unk_token", "<unk>"), pad = Token("pad_token", "<pad>");
        string Token(string role, string otherwise) => settings.Token(role, otherwise) ?? throw new ModelLoadException($"tokenizer_config.json: $.{role}: it is null; a Marian tokenizer has this token. Download the file again.");
        var pieces = new JsonArray();
        foreach (var (token, _) in vocabulary.OrderBy(static e => e.Value))
        {
            // Characters that this side's pieces lack still get their id from vocab.json; longer tokens of the other side are worse than their characters one by one.
            var score = token == eos || token == unknown || token == pad ? 0 : scores.TryGetValue(token, out var own) ? own : OtherSide * token.Length;
            pieces.Add(new JsonArray(token, (double)score));
        }

        var defaults = new Dictionary<string, string> { ["eos_token"] = "</s>", ["unk_token"] = "<unk>", ["pad_token"] = "<pad>" };
        return OlderFolder.Assemble(
            settings.AddedTokens(defaults, static _ => new TokenFlags { Special = true }, [], Id),
            Parts.Normalizers(SentencePieceFolder.Charsmap(model), Parts.ReplaceRegex(" {2,}", " ")),
            Parts.PreTokenizers(Parts.Of("WhitespaceSplit"), Parts.Metaspace("always")),
            Parts.Template($"$A:0 {eos}:0", $"$A:0 $B:0 {eos}:0", Id),
            Parts.Metaspace("always"),
            Parts.Of("Unigram", ("unk_id", Id(unknown)), ("vocab", pieces), ("byte_fallback", false)));
    }
}
