using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization.PostProcessors;

/// <summary>A place of a template: a sequence (0 or 1), or special tokens.</summary>
internal sealed record TemplatePiece(int Sequence, IReadOnlyList<TemplateToken>? Special, int TypeId);

/// <summary><c>TemplateProcessing</c>: sequences and special tokens in the order that the file says, with their segments.</summary>
internal sealed class TemplateProcessing(IReadOnlyList<TemplatePiece> singlePieces, IReadOnlyList<TemplatePiece> pairPieces) : PostProcessor
{
    /// <summary>Reads <c>single</c>, <c>pair</c> and <c>special_tokens</c>.</summary>
    public static TemplateProcessing Read(JsonPart part)
    {
        var tokens = new Dictionary<string, IReadOnlyList<TemplateToken>>(StringComparer.Ordinal);
        var special = part.Member("special_tokens");
        foreach (var member in special.AsMembers())
        {
            var token = special.Of(member);
            var ids = token.Items("ids").Select(static i => i.AsInt()).ToArray();
            var texts = token.Items("tokens").Select(static t => t.AsString()).ToArray();
            if (ids.Length != texts.Length)
            {
                throw token.Error($"has {ids.Length} ids but {texts.Length} tokens.");
            }

            tokens[token.String("id")] = ids.Zip(texts, static (id, text) => new TemplateToken(id, text)).ToArray();
        }

        return new TemplateProcessing(Pieces(part.Member("single"), tokens, 1), Pieces(part.Member("pair"), tokens, 2));
    }

    /// <inheritdoc/>
    public override int AddedTokens(bool pair) => (pair ? Pair : Single).Sum(static p => p.Special?.Count ?? 0);

    /// <inheritdoc/>
    public override int? Results(int encodings, bool addSpecialTokens) =>
        encodings is 1 or 2 ? (encodings == 2 ? Pair : Single).Count(piece => addSpecialTokens || piece.Special is null) : null;

    /// <inheritdoc/>
    /// <remarks>Behind another template of a Sequence the encodings are that one's pieces: two of them are a pair, whatever they hold.</remarks>
    public override List<EncodingBuilder> Process(List<EncodingBuilder> drafts, bool addSpecialTokens)
    {
        if (drafts.Count is not (1 or 2))
        {
            throw InferenceException.Unprocessable(
                Argument.Of("Inputs"),
                $"{Argument.Of("Inputs")}: a template of tokenizer.json's post_processor takes one or two sequences, and the template before it makes {drafts.Count} of this input; encode single texts with special tokens, which it can do.");
        }

        var result = new List<EncodingBuilder>();
        foreach (var piece in drafts.Count > 1 ? Pair : Single)
        {
            if (piece.Special is null)
            {
                var draft = drafts[piece.Sequence];
                draft.SetTypeId(piece.TypeId);
                draft.SetSequence(piece.Sequence);
                result.Add(draft.Clone());
            }
            else if (addSpecialTokens)
            {
                result.Add(EncodingBuilder.Of(piece.Special, piece.TypeId));
            }
        }

        return result;
    }

    private IReadOnlyList<TemplatePiece> Single { get; } = singlePieces;

    private IReadOnlyList<TemplatePiece> Pair { get; } = pairPieces;

    private static List<TemplatePiece> Pieces(JsonPart part, Dictionary<string, IReadOnlyList<TemplateToken>> tokens, int sequences)
    {
        var pieces = new List<TemplatePiece>();
        foreach (var item in part.AsItems())
        {
            if (item.Has("Sequence"))
            {
                var piece = item.Member("Sequence");
                var id = piece.String("id");
                var sequence = id == "A" ? 0 : id == "B" ? 1 : throw piece.Error("id", "must be 'A' or 'B'.");
                if (sequence >= sequences)
                {
                    throw piece.Error("id", "the template of a single text cannot use sequence B.");
                }

                pieces.Add(new TemplatePiece(sequence, null, piece.Int("type_id")));
            }
            else if (item.Has("SpecialToken"))
            {
                var piece = item.Member("SpecialToken");
                var id = piece.String("id");
                if (!tokens.TryGetValue(id, out var special))
                {
                    throw piece.Error("id", $"the special token '{id}' is not in special_tokens.");
                }

                pieces.Add(new TemplatePiece(0, special, piece.Int("type_id")));
            }
            else
            {
                throw item.Error("must be a Sequence or a SpecialToken.");
            }
        }

        return pieces;
    }
}
