using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>Attention probabilities of one sequence, of the layers and heads that are asked for.</summary>
/// <remarks>
/// 1. What is asked is checked against what the graph offers. 2. The text becomes tokens and units (tokens or words). 3. Queries and keys are selected.
/// 4. The size of the answer is estimated, and refused before the model runs. 5. The row reader copies the wanted blocks alone, putting heads and layers together on
/// the way. 6. Rollout or flow; words; renormalize, top_k, threshold. 7. The format.
/// </remarks>
public sealed class AttentionTask : ITask<AttentionRequest, AttentionResult>
{
    private static readonly Argument Text = Argument.Of(nameof(AttentionRequest.Text));
    private static readonly Argument InputIds = Argument.Of(nameof(AttentionRequest.InputIds));
    private static readonly Argument TextPair = Argument.Of(nameof(AttentionRequest.TextPair));

    /// <inheritdoc/>
    public bool Supports(Model model) => model.Graph.Attention.Count > 0;

    /// <inheritdoc/>
    public string? WhyNot(Model model) => model.Graph.AttentionUnavailable;

    /// <summary>Reads the probabilities.</summary>
    /// <exception cref="InferenceException">The model offers no such attention, a selector is out of range, the answer would be too large, or the queue refused.</exception>
    public async Task<AttentionResult> RunAsync(Model model, AttentionRequest request, RequestContext context)
    {
        var selection = AttentionSelection.Of(model, request);
        var input = InputOf(request).Prepare(model, context, TextInput.TruncationOf(model, request.Truncate, request.TruncationDirection), TextInput.TruncateRemedy);
        if (request.MaxNewTokens is { } most)
        {
            input = await AttentionContinuation.PrepareAsync(model, input, most, context);
        }

        var source = AttentionSequence.Of(model.Tokenizer, input, request.Merge);
        var target = model.DecoderGraph is null || selection.Kind == AttentionKind.Encoder ? null : await AttentionTarget.PrepareAsync(model, request.TargetText, request.TargetIds, input, context);
        var sequence = target is null ? source : AttentionSequence.Of(model.Tokenizer, target, request.Merge);
        var keySequence = selection.Kind == AttentionKind.Cross ? source : sequence;
        var (queries, keys) = selection.Units(request, sequence, keySequence);
        selection.CheckSize(request, sequence, keySequence, queries, keys, HeadSize(model));

        var plan = new AttentionReading(selection, request.Aggregate, sequence, keySequence, queries, keys, request.Statistics, request is { Renormalize: false, TopK: null, Threshold: null } ? request.Thumbnail : null);
        string[] outputs = [.. selection.Outputs.Select(tap => tap.Output).Concat(selection.Parts.SelectMany(part => part.Outputs)).Distinct()];
        if (target is null)
        {
            await model.Executor.RunAsync([input.Graph], outputs, (_, row) => plan.Read(row), context);
        }
        else
        {
            await model.Generator!.RunTargetAsync(input.Graph.InputIds, target.Graph.InputIds, outputs, (_, row) => plan.Read(row), context);
        }

        var values = plan.NeedsPaths ? await Task.Run(() => plan.Paths(context.Cancellation), context.Cancellation) : plan.Values();
        Finite.Require(values, input.Source.Argument);
        foreach (var component in plan.Components)
        {
            Finite.Require(component.Values, input.Source.Argument);
        }

        var (height, width) = (queries.Length, keys.Length);
        if (!plan.IsPooled)
        {
            Filter(values, keys.Length, request);
        }

        if (request.Thumbnail is { } side)
        {
            values = plan.IsPooled ? values : AttentionThumbnail.Pool(values, height, width, side);
            (height, width) = (AttentionThumbnail.Side(height, side), AttentionThumbnail.Side(width, side));
        }

        var result = new AttentionResult
        {
            Kind = selection.Kind,
            Axes = selection.Axes(request.Aggregate),
            Shape = selection.Shape(request.Aggregate, height, width),
            DataType = AttentionFormats.DataTypeOf(request.Format),
            Layers = selection.Layers,
            Heads = selection.Heads,
            Tokens = Array.ConvertAll(queries, unit => sequence.Units[unit]),
            KeyTokens = keySequence == sequence && queries.AsSpan().SequenceEqual(keys) ? null : Array.ConvertAll(keys, unit => keySequence.Units[unit]),
            Values = values,
            Format = request.Format,
            Statistics = request.Statistics ? plan.Statistics : null,
            Components = selection.Parts.Count > 0 ? AttentionComponents.Of(plan.Components) : null,
            Provenance = new AttentionProvenance(
                [.. selection.Outputs.Select(tap => tap.Tensor)],
                Path.GetRelativePath(model.Manifest.Folder, (target is null ? model.Graph : model.DecoderGraph!).File).Replace('\\', '/'),
                await (target is null ? model.Sha256 : model.DecoderSha256!).Value),
            Truncated = input.WasCut,
            TokenCount = input.Length,
        };
        return result with { Payload = AttentionFormats.Encode(result) };
    }

    private static int HeadSize(Model model)
    {
        const int Assumed = 128; // as large as heads are
        var config = model.Manifest.Config;
        return config.HeadSize ?? (config is { HiddenSize: { } hidden, Heads: > 0 and var heads } ? hidden / heads : Assumed);
    }

    internal static TextInput InputOf(AttentionRequest request)
    {
        if (request.Text is null == request.InputIds is null)
        {
            throw InferenceException.Unprocessable(Text, request.Text is null ? (ErrorText)$"{Text} is missing: send {Text} or {InputIds}." : $"{Text} and {InputIds} exclude each other: send one of them.");
        }

        if (request.InputIds is { } ids)
        {
            return request.TextPair is null
                ? TextInput.OfIds(ids) with { Argument = InputIds }
                : throw InferenceException.Unprocessable(TextPair, $"{TextPair} goes with {Text}, and {InputIds} already is the whole sequence: leave {TextPair} out, or send {Text}.");
        }

        return TextInput.Of(request.Text!, request.TextPair) with { Argument = Text, PairArgument = TextPair };
    }

    /// <summary>Renormalize, top_k and threshold, row by row, in place.</summary>
    internal static void Filter(float[] values, int keys, AttentionRequest request)
    {
        var order = new float[keys];
        for (var start = 0; start < values.Length; start += keys)
        {
            var row = values.AsSpan(start, keys);
            if (request.Renormalize)
            {
                var sum = TensorPrimitives.Sum<float>(row);
                if (sum > 0)
                {
                    TensorPrimitives.Divide(row, sum, row);
                }
            }

            if (request.TopK is { } topK && topK < keys)
            {
                row.CopyTo(order);
                Array.Sort(order);
                var smallest = order[keys - topK];
                var ties = topK - row.ToArray().Count(value => value > smallest); // of equal values the first keep their place
                for (var k = 0; k < keys; k++)
                {
                    if (row[k] < smallest || (row[k] == smallest && ties-- <= 0))
                    {
                        row[k] = 0;
                    }
                }
            }

            if (request.Threshold is { } threshold)
            {
                for (var k = 0; k < keys; k++)
                {
                    row[k] = row[k] < threshold ? 0 : row[k];
                }
            }
        }
    }
}
