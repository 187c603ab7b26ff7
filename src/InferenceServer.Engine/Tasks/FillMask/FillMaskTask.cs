using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.FillMask;

/// <summary>
/// What stands behind each mask, by a masked language model. Scores are probabilities among the whole vocabulary, with targets
/// too, as in the fill-mask pipeline of transformers 4.57.
/// </summary>
public sealed class FillMaskTask : PredictionTask<FillMaskRequest, FillMaskResult>
{
    private static readonly Argument TopK = Argument.Of(nameof(FillMaskRequest.TopK));
    private static readonly Argument Targets = Argument.Of(nameof(FillMaskRequest.Targets));

    /// <inheritdoc/>
    public override bool Supports(Model model) => model.Capabilities.Head is { Kind: HeadKind.MaskedLanguageModel };

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<FillMaskResult>> RunAsync(Model model, FillMaskRequest request, RequestContext context)
    {
        Parameter.AtLeast(TopK, request.TopK, 1);
        var targets = request.Targets is { } words ? TargetIds(model, words, context) : null;
        var inputs = TextInput.PrepareAll(model, request, context, pairs: true);
        var masks = Array.ConvertAll(inputs, input => MaskPositions(model, input));
        Parameter.Listed(TopK, request.TopK, masks.Sum(m => (long)m.Length), targets?.Length ?? model.Tokenizer.VocabularySize);

        var output = model.Capabilities.Head!.Output;
        var rows = await model.Executor.RunAsync(
            Array.ConvertAll(inputs, input => input.Graph), [output], (i, row) => Read(row[output], masks[i], targets, request, inputs[i].Source.Argument), context).ConfigureAwait(false);
        return [.. rows.Select((row, i) => Finish(model, inputs[i], masks[i], row))];
    }

    /// <summary>Best ids and their probabilities at each mask, straight from the native row.</summary>
    private static (int Id, double Score)[][] Read(OutputRow logits, int[] positions, int[]? targets, FillMaskRequest request, Argument input)
    {
        var count = request.TopK;
        var read = new (int, double)[positions.Length][];
        for (var i = 0; i < read.Length; i++)
        {
            var row = logits.At(positions[i]);
            var norm = Finite.Require(Logits.LogSumExp(row), input);
            var best = new (int Id, double Score)[Math.Min(count, targets?.Length ?? row.Length)];
            if (targets is null)
            {
                var ids = Logits.Top(row, count);
                for (var k = 0; k < best.Length; k++)
                {
                    best[k] = (ids[k], Math.Exp(row[ids[k]] - norm));
                }
            }
            else
            {
                var among = new float[targets.Length];
                for (var k = 0; k < among.Length; k++)
                {
                    // The head may know fewer ids than the tokenizer: what it does not know it never predicts.
                    among[k] = targets[k] < row.Length ? row[targets[k]] : float.NegativeInfinity;
                }

                var chosen = Logits.Top(among, count);
                for (var k = 0; k < best.Length; k++)
                {
                    best[k] = (targets[chosen[k]], Math.Exp(among[chosen[k]] - norm));
                }
            }

            read[i] = [.. best, .. Logits.Besides(row, request.Besides, best).Select(other => (other.Id, Math.Exp(other.Logit - norm)))];
        }

        return read;
    }

    private static FillMaskResult Finish(Model model, PreparedInput input, int[] positions, (int Id, double Score)[][] row)
    {
        var first = new TextOffsets(input.Source.Text ?? "");
        var second = new TextOffsets(input.Source.Pair ?? "");
        return new FillMaskResult([.. positions.Select((position, i) =>
        {
            var (start, end) = (input.Encoding.SequenceIds[position] == 1 ? second : first).ToCodePoints(input.Encoding.Offsets[position]);
            return new FilledMask(position, start, end, [.. row[i].Select(best => new TokenCandidate(
                best.Id,
                model.Tokenizer.IdToToken(best.Id) ?? "",
                model.Tokenizer.Decode([best.Id], skipSpecialTokens: false),
                best.Score))]);
        })])
        { Truncated = input.WasCut };
    }

    private static int[] MaskPositions(Model model, PreparedInput input)
    {
        var mask = model.Tokenizer.Named.Mask!;
        var ids = input.Graph.InputIds;
        int[] positions = [.. Enumerable.Range(0, ids.Length).Where(i => ids[i] == mask.Id)];
        return positions.Length > 0
            ? positions
            : throw InferenceException.Unprocessable(
                input.Source.Argument,
                $"{input.Source.Argument} has no {mask.Text}{(input.Truncated ? (ErrorText)$" in what is left of it after truncation" : $"")}: at least 1 mask is needed. Write {mask.Text} where a word is missing{(input.Source.Ids is null ? "" : $" (id {mask.Id})")}.");
    }

    /// <summary>A target is a token of the vocabulary as it stands, or a word that the tokenizer turns into exactly one.</summary>
    private static int[] TargetIds(Model model, IReadOnlyList<string> words, RequestContext context)
    {
        if (words.Count == 0)
        {
            throw InferenceException.Unprocessable(Targets, $"{Targets} is empty: at least 1 word is needed. Send words, or leave it out for the whole vocabulary.");
        }

        var unknown = model.Tokenizer.Named.Unk?.Id;
        var ids = new List<int>();
        for (var i = 0; i < words.Count; i++)
        {
            if (string.IsNullOrEmpty(words[i]))
            {
                throw InferenceException.Unprocessable(Targets[i], $"{Targets[i]} is empty: a word of at least 1 character is needed. Leave it out.");
            }

            TextInput.RequireLength(model, context, Targets[i], words[i]);
            var id = model.Tokenizer.TokenToId(words[i]);
            if (id is null)
            {
                var encoding = model.Tokenizer.Encode(words[i], addSpecialTokens: false, work: context.Work);
                id = encoding.Length == 1 && encoding.Ids[0] != unknown
                    ? encoding.Ids[0]
                    : throw InferenceException.Unprocessable(Targets[i], Unknown(i, words[i], encoding));
            }

            ids.Add(id.Value);
        }

        return [.. ids.Distinct()];
    }

    private static ErrorText Unknown(int index, string word, TokenEncoding encoding)
    {
        const int shown = 10;
        var tokens = string.Join(" ", encoding.Tokens.Take(shown)) + (encoding.Length > shown ? " ..." : "");
        var name = word.Length > 50 ? word[..50] + "..." : word;
        return $"{Targets[index]} is '{name}', which is not one token of the model's vocabulary ({(tokens.Length == 0 ? "it has no token" : $"it becomes {tokens}")}). Send a word that is a single token, or leave it out.";
    }
}
