using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks.TextClassification;

/// <summary>
/// Labels of texts or pairs by a sequence-classification head, as the text-classification pipeline of transformers 4.57 scores
/// them: softmax, sigmoid for multi-label and one-label heads, the raw logit for regression.
/// </summary>
public sealed class TextClassificationTask : IPredictionTask
{
    /// <inheritdoc/>
    public string Name => "text-classification";

    /// <inheritdoc/>
    public Type RequestType => typeof(TextClassificationRequest);

    /// <inheritdoc/>
    public bool Supports(Model model) => model.Capabilities.Head is { Kind: HeadKind.SequenceClassification };

    /// <inheritdoc/>
    public async Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context)
    {
        var parameters = (TextClassificationRequest)request;
        Parameter.AtLeast("parameters.top_k", parameters.TopK ?? 1, 1);
        var inputs = TextInput.PrepareAll(model, request.Inputs, context, Name, pairs: true);
        var rows = await LogitsAsync(model, inputs, context).ConfigureAwait(false);
        return Array.ConvertAll(rows, logits => new TextClassificationResult(Labels(model, logits, parameters)));
    }

    /// <summary>The logits <c>[labels]</c> of each sequence.</summary>
    internal static Task<float[][]> LogitsAsync(Model model, IReadOnlyList<PreparedInput> inputs, RequestContext context)
    {
        var output = model.Capabilities.Head!.Output;
        return model.Executor.RunAsync([.. inputs.Select(input => input.Graph)], [output], (_, row) => row[output].Data.ToArray(), context);
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
