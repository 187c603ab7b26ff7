using System.Text.Json;

namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>The one place where a model's JSON <c>type</c> becomes a class.</summary>
internal static class ModelFactory
{
    /// <summary>Builds the model that <paramref name="part"/> describes.</summary>
    /// <exception cref="Diagnostics.ModelLoadException">The type is not supported, or a field is missing or wrong.</exception>
    public static TokenizerModel Create(JsonPart part)
    {
        // Old files name no type: the members tell, in the reference's order.
        var type = part.OptionalString("type") ??
            (part.Has("merges") ? "BPE" : part.Has("continuing_subword_prefix") ? "WordPiece" : part.Has("vocab") && part.Member("vocab").Kind == JsonValueKind.Array ? "Unigram" : "WordLevel");
        return type switch
        {
            "BPE" => CreateBpe(part),
            "WordPiece" => new WordPiece(
                Vocabulary.Read(part.Member("vocab")),
                part.String("unk_token"),
                part.String("continuing_subword_prefix"),
                part.Int("max_input_chars_per_word")),
            "WordLevel" => new WordLevel(Vocabulary.Read(part.Member("vocab")), part.String("unk_token")),
            "Unigram" => CreateUnigram(part),
            _ => throw part.Unsupported("type", type),
        };
    }

    private static BPE CreateBpe(JsonPart part)
    {
        var dropout = part.Optional("dropout");
        if (!dropout.IsNull && dropout.AsDouble() != 0)
        {
            throw dropout.Error("dropout makes the tokens random; only null is supported.");
        }

        var list = part.Member("merges");
        var merges = new List<(string, string)>();
        foreach (var item in list.AsItems())
        {
            if (item.Kind == JsonValueKind.String)
            {
                var text = item.AsString();
                if (text.StartsWith("#version", StringComparison.Ordinal))
                {
                    continue;
                }

                var space = text.IndexOf(' ', StringComparison.Ordinal);
                if (space < 0 || text.IndexOf(' ', space + 1) >= 0)
                {
                    throw item.Error("a merge must be two tokens with one space between them.");
                }

                merges.Add((text[..space], text[(space + 1)..]));
            }
            else
            {
                var pair = item.AsItems().Take(3).Select(static p => p.AsString()).ToArray();
                if (pair.Length != 2)
                {
                    throw item.Error("a merge must be two tokens.");
                }

                merges.Add((pair[0], pair[1]));
            }
        }

        return new BPE(
            Vocabulary.Read(part.Member("vocab")),
            merges,
            new BpeOptions
            {
                Unknown = part.OptionalString("unk_token"),
                ContinuingSubwordPrefix = part.OptionalString("continuing_subword_prefix"),
                EndOfWordSuffix = part.OptionalString("end_of_word_suffix"),
                FuseUnknown = part.Bool("fuse_unk", false),
                ByteFallback = part.Bool("byte_fallback", false),
                IgnoreMerges = part.Bool("ignore_merges", false),
            },
            (rank, message) => new JsonPart(list.File, $"{list.Path}[{rank}]", default).Error(message));
    }

    private static Unigram CreateUnigram(JsonPart part)
    {
        var vocab = part.Member("vocab");
        var pieces = new List<(string, double)>();
        foreach (var item in vocab.AsItems())
        {
            var pair = item.AsItems().Take(3).ToArray();
            if (pair.Length != 2)
            {
                throw item.Error("must be a token and its score.");
            }

            pieces.Add((pair[0].AsString(), pair[1].AsDouble()));
        }

        var unknown = part.OptionalInt("unk_id");
        if (unknown >= pieces.Count)
        {
            throw part.Error("unk_id", $"is {unknown}, but the vocabulary has {pieces.Count} tokens.");
        }

        return new Unigram(pieces, unknown, part.Bool("byte_fallback", false));
    }
}
