using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Perplexity;

/// <summary>The probability that a causal language model gives to each token of a text after the tokens before it.</summary>
public sealed class PerplexityTask : PredictionTask<PerplexityRequest, PerplexityResult>
{
    /// <inheritdoc/>
    public override bool Supports(Model model) => model.Capabilities.Head is { Kind: HeadKind.CausalLanguageModel };

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<PerplexityResult>> RunAsync(Model model, PerplexityRequest request, RequestContext context)
    {
        var inputs = TextInput.PrepareAll(model, request, context, pairs: false);
        foreach (var input in inputs)
        {
            if (input.Length < 2)
            {
                throw InferenceException.Unprocessable(input.Source.Argument, $"{input.Source.Argument} has 1 token; perplexity needs at least 2, since nothing predicts the first. Send a longer text.");
            }
        }

        var output = model.Capabilities.Head!.Output;
        var rows = await model.Executor.RunAsync(
            Array.ConvertAll(inputs, input => input.Graph), [output], (i, row) => Logits.OfNext(row[output], inputs[i].Graph.InputIds, inputs[i].Source.Argument), context).ConfigureAwait(false);
        return [.. rows.Select((logprobs, i) => Finish(model, inputs[i], logprobs))];
    }

    private static PerplexityResult Finish(Model model, PreparedInput input, double[] logprobs)
    {
        var offsets = new TextOffsets(input.Source.Text ?? "");
        var total = logprobs.Sum();
        return new PerplexityResult(Math.Exp(-total / logprobs.Length), total, [.. input.Graph.InputIds.Select((id, i) =>
        {
            var (start, end) = offsets.ToCodePoints(input.Encoding.Offsets[i]);
            return new ScoredToken(id, model.Tokenizer.IdToToken(id) ?? "", model.Tokenizer.Decode([id], skipSpecialTokens: false), start, end, i == 0 ? null : logprobs[i - 1]);
        })])
        { Truncated = input.WasCut };
    }
}
