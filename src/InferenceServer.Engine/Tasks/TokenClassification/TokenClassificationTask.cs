using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.TokenClassification;

/// <summary>
/// Labelled parts of texts (named entities) by a token-classification head, equal to the token-classification pipeline of
/// transformers 4.57, whose aggregation strategies these are.
/// </summary>
/// <remarks>
/// 1. The text becomes one window, or with a stride several that overlap. 2. Each window's logits become probabilities of labels
/// a token. 3. <see cref="EntityGrouping"/> makes entities of each window. 4. Entities of windows that overlap are merged: the
/// longer one stays, of equally long ones the likelier.
/// </remarks>
public sealed class TokenClassificationTask : PredictionTask<TokenClassificationRequest, TokenClassificationResult>
{
    private static readonly Argument Stride = Argument.Of(nameof(TokenClassificationRequest.Stride));
    private static readonly Argument Truncate = Argument.Of(nameof(TokenClassificationRequest.Truncate));
    private static readonly Argument AggregationOf = Argument.Of(nameof(TokenClassificationRequest.Aggregation));

    /// <inheritdoc/>
    public override bool Supports(Model model) => model.Capabilities.Head is { Kind: HeadKind.TokenClassification };

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<TokenClassificationResult>> RunAsync(Model model, TokenClassificationRequest request, RequestContext context)
    {
        CheckStride(model, request);
        var truncation = TextInput.TruncationOf(model, request.Truncate, request.TruncationDirection);
        TextInput.RequireAll(request.Inputs, pairs: false, ids: false);
        var read = TextInput.PrepareEach(request.Inputs, context, input => Windows(model, input, request.Stride, truncation, context));
        var windows = Array.ConvertAll(read, input => input.Windows);
        var output = model.Capabilities.Head!.Output;
        Argument[] arguments = [.. windows.SelectMany((own, i) => own.Select(_ => request.Inputs[i].Argument))];
        var scores = await model.Executor.RunAsync(
            [.. windows.SelectMany(own => own.Select(window => new GraphInput(window.Ids, window.TypeIds)))],
            [output],
            (index, row) =>
            {
                var probabilities = new double[row.Length][];
                for (var i = 0; i < probabilities.Length; i++)
                {
                    probabilities[i] = Logits.Softmax(Finite.Require(row[output].At(i), arguments[index]));
                }

                return probabilities;
            },
            context).ConfigureAwait(false);
        var results = new TokenClassificationResult[request.Inputs.Count];
        var next = 0;
        for (var i = 0; i < results.Length; i++)
        {
            results[i] = Result(model, request.Inputs[i].Text!, windows[i], scores.AsSpan(next, windows[i].Count), request) with { Truncated = read[i].WasCut };
            next += windows[i].Count;
        }

        return results;
    }

    private static TokenClassificationResult Result(Model model, string text, List<TokenEncoding> windows, ReadOnlySpan<double[][]> scores, TokenClassificationRequest parameters)
    {
        var grouping = new EntityGrouping(model, text, parameters.Aggregation);
        var found = new List<TokenEntity>();
        for (var i = 0; i < windows.Count; i++)
        {
            found.AddRange(grouping.Entities(windows[i], scores[i]));
        }

        var entities = found
            .Where(entity => !parameters.IgnoreLabels.Contains(entity.Label, StringComparer.Ordinal))
            .ToList();
        if (windows.Count > 1)
        {
            entities = Merge(entities);
        }

        var offsets = new TextOffsets(text);
        return new TokenClassificationResult([.. entities.Select(entity => new Entity(
            entity.Label,
            entity.Score,
            offsets.ToCodePoints(entity.Start),
            offsets.ToCodePoints(entity.End),
            text[entity.Start..entity.End],
            parameters.Aggregation == Aggregation.None ? entity.Index : null))]);
    }

    private static (List<TokenEncoding> Windows, bool? WasCut) Windows(Model model, TextInput input, int? stride, Truncation? truncation, RequestContext context)
    {
        if (stride is null)
        {
            var whole = input.Prepare(model, context, truncation, $"{TextInput.TruncateRemedy}, or set {Stride} and an aggregation, which reads texts of any length");
            return ([whole.Encoding], whole.WasCut);
        }

        var first = input.Prepare(model, context, new Truncation(model.MaxTokens, stride.Value)).Encoding;
        foreach (var window in first.Overflowing)
        {
            context.AddTokens(window.Length);
        }

        return ([first, .. first.Overflowing], null);
    }

    private static void CheckStride(Model model, TokenClassificationRequest parameters)
    {
        if (parameters.Stride is not { } stride)
        {
            return;
        }

        if (parameters.Truncate)
        {
            throw InferenceException.Unprocessable(Stride, $"{Stride} reads texts of any length in windows, and {Truncate} cuts them: use one of them.");
        }

        var room = model.MaxTokens - model.Tokenizer.SpecialTokensToAdd(pair: false);
        if (stride < 0 || stride >= room)
        {
            throw InferenceException.Unprocessable(Stride, $"{Stride} is {stride}; it must be from 0 to {room - 1}, less than the tokens of a window. Send such a value, or leave it out.");
        }

        if (parameters.Aggregation == Aggregation.None)
        {
            throw InferenceException.Unprocessable(Stride, $"{Stride} needs an aggregation other than {Aggregation.None}, since windows are merged by entities. Set {AggregationOf} to {ErrorText.List(Enum.GetValues<Aggregation>().Where(a => a != Aggregation.None))}.");
        }
    }

    /// <summary>Of entities that overlap the longest stays, of equally long ones the likeliest.</summary>
    private static List<TokenEntity> Merge(List<TokenEntity> entities)
    {
        var merged = new List<TokenEntity>();
        TokenEntity? last = null;
        foreach (var entity in entities.OrderBy(e => e.Start))
        {
            if (last is null)
            {
                last = entity;
            }
            else if (last.Start <= entity.Start && entity.Start < last.End)
            {
                var (length, before) = (entity.End - entity.Start, last.End - last.Start);
                if (length > before || (length == before && entity.Score > last.Score))
                {
                    last = entity;
                }
            }
            else
            {
                merged.Add(last);
                last = entity;
            }
        }

        if (last is not null)
        {
            merged.Add(last);
        }

        return merged;
    }
}
