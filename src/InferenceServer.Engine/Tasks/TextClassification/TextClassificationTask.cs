using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks.TextClassification;

/// <summary>
/// Labels of texts or pairs by a sequence-classification head, as the text-classification pipeline of transformers 4.57 scores
/// them: softmax, sigmoid for multi-label and one-label heads, the raw logit for regression.
/// </summary>
public sealed class TextClassificationTask : PredictionTask<TextClassificationRequest, TextClassificationResult>
{
    private static readonly Argument TopK = Argument.Of(nameof(TextClassificationRequest.TopK));

    /// <inheritdoc/>
    public override bool Supports(Model model) => model.Capabilities.Head is { Kind: HeadKind.SequenceClassification };

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<TextClassificationResult>> RunAsync(Model model, TextClassificationRequest request, RequestContext context)
    {
        Parameter.AtLeast(TopK, request.TopK ?? 1, 1);
        var inputs = TextInput.PrepareAll(model, request, context, pairs: true);
        var rows = await LogitsAsync(model, inputs, context).ConfigureAwait(false);
        return [.. rows.Select((logits, i) => new TextClassificationResult(Labels(model, logits, request)) { Truncated = inputs[i].WasCut })];
    }

    /// <summary>The logits <c>[labels]</c> of each sequence.</summary>
    internal static Task<float[][]> LogitsAsync(Model model, IReadOnlyList<PreparedInput> inputs, RequestContext context)
    {
        var output = model.Capabilities.Head!.Output;
        return model.Executor.RunAsync([.. inputs.Select(input => input.Graph)], [output], (i, row) => Finite.Require(row[output].Data, inputs[i].Source.Argument).ToArray(), context);
    }

    private static IReadOnlyList<LabelScore> Labels(Model model, float[] logits, TextClassificationRequest parameters)
    {
        var scores = (parameters.Function ?? FunctionOf(model, logits.Length)) switch
        {
            ScoreFunction.Softmax => Logits.Softmax(logits),
            ScoreFunction.Sigmoid => Array.ConvertAll(logits, Logits.Sigmoid),
            _ => Array.ConvertAll(logits, logit => (double)logit),
        };
        return [.. scores
            .Select((score, id) => new LabelScore(Head.Label(model, id), score))
            .OrderByDescending(label => label.Score)
            .Take(parameters.TopK ?? int.MaxValue)];
    }

    private static ScoreFunction FunctionOf(Model model, int labels) => model.Manifest.Config.ProblemType switch
    {
        "regression" => ScoreFunction.None,
        "multi_label_classification" => ScoreFunction.Sigmoid,
        _ when labels == 1 => ScoreFunction.Sigmoid,
        _ => ScoreFunction.Softmax,
    };
}
