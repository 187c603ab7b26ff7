using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks.NextToken;

/// <summary>The token after a text, by a causal language model: the logits of the last position.</summary>
public sealed class NextTokenTask : PredictionTask<NextTokenRequest, NextTokenResult>
{
    private static readonly Argument TopK = Argument.Of(nameof(NextTokenRequest.TopK));

    /// <inheritdoc/>
    public override bool Supports(Model model) => model.Capabilities.Head is { Kind: HeadKind.CausalLanguageModel };

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<NextTokenResult>> RunAsync(Model model, NextTokenRequest request, RequestContext context)
    {
        Parameter.AtLeast(TopK, request.TopK, 1);
        var inputs = TextInput.PrepareAll(model, request, context, pairs: false);
        Parameter.Listed(TopK, request.TopK, inputs.Length, model.Tokenizer.VocabularySize);

        var output = model.Capabilities.Head!.Output;
        var rows = await model.Executor.RunAsync(
            Array.ConvertAll(inputs, input => input.Graph), [output], (i, row) => Read(row[output], row.Length, request, inputs[i].Source.Argument), context).ConfigureAwait(false);
        return [.. rows.Select((row, i) => new NextTokenResult([.. row.Select(best => new NextTokenCandidate(
            best.Id,
            model.Tokenizer.IdToToken(best.Id) ?? "",
            model.Tokenizer.Decode([best.Id], skipSpecialTokens: false),
            Math.Exp(best.Logprob),
            best.Logprob))]) { Truncated = inputs[i].WasCut })];
    }

    /// <summary>Reads numbers from the logits <c>[vocabulary]</c> of the last position of each sequence.</summary>
    internal static Task<float[][]> LogitsAsync(Model model, IReadOnlyList<PreparedInput> inputs, LogitsReader read, RequestContext context)
    {
        var output = model.Capabilities.Head!.Output;
        return model.Executor.RunAsync([.. inputs.Select(input => input.Graph)], [output], (i, row) => read(Finite.Require(Last(row[output], row.Length), inputs[i].Source.Argument)), context);
    }

    // Some exports give the last position alone, with or without an axis for it.
    private static ReadOnlySpan<float> Last(OutputRow logits, int length) => logits.Shape.Length == 1 ? logits.Data : logits.At(Math.Min(length, logits.Shape[0]) - 1);

    private static (int Id, double Logprob)[] Read(OutputRow logits, int length, NextTokenRequest request, Argument input)
    {
        var row = Last(logits, length);
        var norm = Finite.Require(Logits.LogSumExp(row), input);
        var ids = Logits.Top(row, request.TopK);
        var best = new (int Id, double Logprob)[ids.Length];
        for (var i = 0; i < best.Length; i++)
        {
            best[i] = (ids[i], row[ids[i]] - norm);
        }

        return [.. best, .. Logits.Besides(row, request.Besides, best).Select(other => (other.Id, other.Logit - norm))];
    }

    /// <summary>Reads numbers from logits.</summary>
    internal delegate float[] LogitsReader(ReadOnlySpan<float> logits);
}
