using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Attention;
using InferenceServer.Engine.Tasks.FillMask;
using InferenceServer.Engine.Tasks.NextToken;
using InferenceServer.Engine.Tasks.TextClassification;

namespace InferenceServer.Engine.Tasks.Ablation;

/// <summary>
/// The check beside attention: tokens are taken out or masked, the model runs again, and what changes in its prediction is told. For an encoder-decoder it is the
/// log-probability of each token of a fixed target (so that the two numbers are of the same thing).
/// </summary>
public sealed class AblationTask : ITask<AblationRequest, AblationResult>
{
    private static readonly Argument Text = Argument.Of(nameof(AblationRequest.Text));
    private static readonly Argument Task = Argument.Of(nameof(AblationRequest.Task));
    private static readonly Argument Remove = Argument.Of(nameof(AblationRequest.Remove));
    private static readonly Argument Mask = Argument.Of(nameof(AblationRequest.Mask));
    private static readonly Argument Heads = Argument.Of(nameof(AblationRequest.Heads));
    private static readonly Argument Each = Argument.Of(nameof(AblationRequest.Each));

    /// <inheritdoc/>
    public bool Supports(Model model) => HasTarget(model) || TaskCatalogue.Prediction(model) is FillMaskTask or TextClassificationTask or NextTokenTask;

    /// <inheritdoc/>
    public string? WhyNot(Model model) => "it compares the predictions of masked and causal language models, of text classifiers, and the targets of encoder-decoders";

    /// <summary>True when a change is told in the log-probabilities of a target.</summary>
    public static bool HasTarget(Model model) => model.Generator is { IsEncoderDecoder: true } && model.DecoderGraph is not null;

    /// <summary>Runs the model on the sequence as it is and as it is changed.</summary>
    /// <exception cref="InferenceException">A position is out of range, the model has no mask token, nothing is left, the task has no scores to compare, or the queue refused.</exception>
    public async Task<AblationResult> RunAsync(Model model, AblationRequest request, RequestContext context)
    {
        var truncation = TextInput.TruncationOf(model, request.Truncate, null);
        var input = AttentionTask.InputOf(new AttentionRequest { Text = request.Text, InputIds = request.InputIds, TextPair = request.TextPair });
        var sequence = input.Prepare(model, context, truncation, TextInput.TruncateRemedy);
        var changes = Changes(model, request, sequence);
        var masks = Masks(model, request.Heads);
        var inputs = changes.ConvertAll(change => input with { Change = change });
        IReadOnlyList<IReadOnlyList<AblationDifference>> differences;
        PredictionResult? before = null, after = null;
        if (HasTarget(model))
        {
            var target = await AttentionTarget.PrepareAsync(model, request.TargetText, request.TargetIds, sequence, context).ConfigureAwait(false);
            List<double[]> rows = [await TargetAsync(model, sequence, target, context, masks?.Whole).ConfigureAwait(false)];
            foreach (var one in inputs.Select(changed => changed.Prepare(model, context, truncation)))
            {
                rows.Add(await TargetAsync(model, one, target, context, masks?.Without).ConfigureAwait(false));
            }

            differences = [.. rows.Skip(1).Select(row => row.Select((logprob, i) => new AblationDifference { Position = i + 1, Token = target.Encoding.Tokens[i + 1], Before = rows[0][i], After = logprob }).ToList())];
        }
        else
        {
            RefuseTarget(model, request);
            (before, after, differences) = await PredictAsync(With(model, masks?.Whole), With(model, masks?.Without), request, input, inputs, changes, sequence.Length, context).ConfigureAwait(false);
        }

        var single = request.Each is null;
        return new AblationResult
        {
            Before = before,
            After = single ? after : null,
            Difference = single ? differences[0] : null,
            Differences = single ? null : [.. differences.Select((difference, i) => new AblationChange(changes[i].Remove.Concat(changes[i].Mask).Single(), difference))],
            Truncated = sequence.WasCut,
        };
    }

    // Masks of the heads: of all of them on, and of those that are named off; null where none is named. Both runs are of the graph with the mask, so that nothing else differs between them.
    private static (HeadMasks Whole, HeadMasks Without)? Masks(Model model, IReadOnlyList<AblationHead> heads)
    {
        if (heads.Count == 0)
        {
            return null;
        }

        HeadMask[] all = [.. model.Graph.HeadMasks, .. model.DecoderGraph?.HeadMasks ?? []];
        if (all.Length == 0)
        {
            throw InferenceException.Unprocessable(Heads, $"The heads of {model.Manifest.Id} cannot be switched off: its graph keeps them inside an operator. Use {Remove} or {Mask}, or export the model with attn_implementation=eager.");
        }

        var (whole, without) = (HeadMasks.AllOn(model), HeadMasks.AllOn(model));
        for (var i = 0; i < heads.Count; i++)
        {
            var kind = heads[i].Kind ?? all[0].Kind;
            var layers = Array.FindAll(all, one => one.Kind == kind);
            if (layers.Length == 0)
            {
                throw InferenceException.Unprocessable(Heads[i].Property(nameof(AblationHead.Kind)), $"{Heads[i].Property(nameof(AblationHead.Kind))} is {kind}; the model {model.Manifest.Id} has heads of {ErrorText.List(all.Select(one => one.Kind).Distinct().ToArray())}.");
            }

            if (Array.Find(layers, one => one.Layer == heads[i].Layer) is not { } layer)
            {
                throw InferenceException.Unprocessable(Heads[i].Property(nameof(AblationHead.Layer)), $"{Heads[i].Property(nameof(AblationHead.Layer))} is {heads[i].Layer}; layers go from 0 to {layers.Length - 1}.");
            }

            if (heads[i].Head < 0 || heads[i].Head >= layer.Heads)
            {
                throw InferenceException.Unprocessable(Heads[i].Property(nameof(AblationHead.Head)), $"{Heads[i].Property(nameof(AblationHead.Head))} is {heads[i].Head}; heads go from 0 to {layer.Heads - 1}.");
            }

            // Of an encoder-decoder the decoder's graph has the kinds that the encoder's has not.
            var mask = model.Graph.HeadMasks.Contains(layer) ? without.Own : without.Decoder!;
            ref var number = ref mask[layer.Offset + heads[i].Head];
            if (number == 0)
            {
                throw InferenceException.Unprocessable(Heads[i], $"{Heads[i]} names a head that is named before: each is switched off once. Leave it out.");
            }

            number = 0;
        }

        return (whole, without);
    }

    private static Model With(Model model, HeadMasks? masks) => masks is null ? model : model with { Executor = new MaskedHeadsExecutor(model.Executor, masks.Own) };

    // A number for each head of the model's graph, and of the decoder's beside it.
    private sealed record HeadMasks(float[] Own, float[]? Decoder)
    {
        public static HeadMasks AllOn(Model model) => new(Ones(model.Graph), model.DecoderGraph is null ? null : Ones(model.DecoderGraph));

        private static float[] Ones(GraphSummary graph)
        {
            var ones = new float[HeadMask.Width(graph.HeadMasks)];
            Array.Fill(ones, 1);
            return ones;
        }
    }

    private static void RefuseTarget(Model model, AblationRequest request)
    {
        if (request.TargetText is not null || request.TargetIds is not null)
        {
            var target = Argument.Of(request.TargetText is not null ? nameof(request.TargetText) : nameof(request.TargetIds));
            throw InferenceException.Unprocessable(target, $"{target} is for the decoder of an encoder-decoder; the model {model.Manifest.Id} is none. Leave {target} out.");
        }
    }

    private static List<SequenceChange> Changes(Model model, AblationRequest request, PreparedInput sequence)
    {
        if (request is { Remove.Count: 0, Mask.Count: 0, Heads.Count: 0, Each: null })
        {
            throw InferenceException.Unprocessable(Remove, $"Nothing is changed: name positions in {Remove} or {Mask}, or {Heads}, or set {Each}.");
        }

        if (request.Each is not null && request.Remove.Count + request.Mask.Count + request.Heads.Count > 0)
        {
            throw InferenceException.Unprocessable(Each, $"{Each} changes one token after the other, and {(request.Remove.Count > 0 ? Remove : request.Mask.Count > 0 ? Mask : Heads)} names some: use one of them.");
        }

        if ((request.Mask.Count > 0 || request.Each == AblationEach.Mask) && model.Tokenizer.Named.Mask is null)
        {
            var argument = request.Each is null ? Mask : Each;
            throw InferenceException.Unprocessable(argument, $"The tokenizer of {model.Manifest.Id} has no mask token. Use {Remove} instead of {Mask}.");
        }

        var known = new HashSet<int>();
        foreach (var (argument, positions) in ((Argument, IReadOnlyList<int>)[])[(Remove, request.Remove), (Mask, request.Mask)])
        {
            for (var i = 0; i < positions.Count; i++)
            {
                if (positions[i] < 0 || positions[i] >= sequence.Length)
                {
                    throw InferenceException.Unprocessable(argument[i], $"{argument[i]} is {positions[i]}; the sequence has {sequence.Length} tokens, so it goes from 0 to {sequence.Length - 1}.");
                }

                if (!known.Add(positions[i]))
                {
                    throw InferenceException.Unprocessable(argument[i], $"{argument[i]} repeats {positions[i]}: a token is changed once.");
                }
            }
        }

        if (request.Each is null)
        {
            return request.Remove.Count < sequence.Length
                ? [new SequenceChange(request.Remove.ToHashSet(), request.Mask.ToHashSet())]
                : throw InferenceException.Unprocessable(Remove, $"{Remove} takes out all {sequence.Length} tokens: leave at least 1.");
        }

        var special = model.Tokenizer.SpecialIds;
        var changes = Enumerable.Range(0, sequence.Length).Where(position => !special.Contains(sequence.Graph.InputIds[position]))
            .Select(position => request.Each == AblationEach.Remove ? new SequenceChange([position], []) : new SequenceChange([], [position])).ToList();
        return changes.Count > 0 && sequence.Length > 1 ? changes : throw InferenceException.Unprocessable(Text, $"{Text} has no token beside special ones that could be changed. Send a longer text.");
    }

    private static async Task<(PredictionResult Before, PredictionResult After, IReadOnlyList<IReadOnlyList<AblationDifference>> Differences)> PredictAsync(
        Model model, Model changedModel, AblationRequest request, TextInput input, List<TextInput> inputs, List<SequenceChange> changes, int length, RequestContext context)
    {
        var task = request.Task ?? TaskCatalogue.Prediction(model)!;
        if (task is not (FillMaskTask or TextClassificationTask or NextTokenTask))
        {
            throw InferenceException.Unprocessable(Task, $"{Task} has no scores that two runs could be compared by; {nameof(FillMask)}, {nameof(TextClassification)} and {nameof(NextToken)} have.");
        }

        var prediction = (request.Prediction ?? (PredictionRequest)Activator.CreateInstance(task.RequestType)!) with { Truncate = request.Truncate };
        async Task<IReadOnlyList<PredictionResult>> Run(Model model, IReadOnlyList<TextInput> inputs, IEnumerable<int> besides) =>
            await task.RunAsync(model, With(prediction with { Inputs = inputs }, [.. besides.Distinct()]), context).ConfigureAwait(false);

        // Scores of what only the other run has among its best are read as well.
        var first = (await Run(model, [input], []).ConfigureAwait(false))[0];
        var changed = await Run(changedModel, inputs, Ids(first)).ConfigureAwait(false);
        var again = (await Run(model, [input], changed.SelectMany(Ids)).ConfigureAwait(false))[0];
        var most = prediction switch { FillMaskRequest mask => mask.TopK, NextTokenRequest next => next.TopK, TextClassificationRequest labels => labels.TopK ?? int.MaxValue, _ => int.MaxValue };
        return (first, Best(changed[0], most), [.. changed.Select((after, i) => Differences(again, after, changes[i].Left(length), Ids(first).ToHashSet(), request.Each is null))]);
    }

    private static PredictionRequest With(PredictionRequest request, int[] besides) => request switch
    {
        FillMaskRequest mask => mask with { Besides = besides },
        NextTokenRequest next => next with { Besides = besides },
        TextClassificationRequest labels when besides.Length > 0 => labels with { TopK = null },
        _ => request,
    };

    private static IEnumerable<int> Ids(PredictionResult result) => result switch
    {
        FillMaskResult masks => masks.Masks.SelectMany(mask => mask.Candidates).Select(candidate => candidate.Id),
        NextTokenResult next => next.Candidates.Select(candidate => candidate.Id),
        _ => [-1], // every label
    };

    private static PredictionResult Best(PredictionResult result, int most) => result switch
    {
        FillMaskResult masks => masks with { Masks = [.. masks.Masks.Select(mask => mask with { Candidates = [.. mask.Candidates.Take(most)] })] },
        NextTokenResult next => next with { Candidates = [.. next.Candidates.Take(most)] },
        TextClassificationResult labels => labels with { Labels = [.. labels.Labels.Take(most)] },
        _ => result,
    };

    // What both have, in the order of the first; of several changes those that the unchanged sequence has among its best.
    private static List<AblationDifference> Differences(PredictionResult before, PredictionResult after, int[] left, HashSet<int> best, bool all) => (before, after) switch
    {
        (FillMaskResult b, FillMaskResult a) => [.. b.Masks.SelectMany(mask =>
            (a.Masks.FirstOrDefault(other => left[other.Position] == mask.Position) is { } other ? Pairs(mask.Candidates, other.Candidates) : [])
            .Where(pair => all || best.Contains(pair.Before.Id))
            .Select(pair => new AblationDifference { Position = mask.Position, Token = pair.Before.Token, Before = pair.Before.Score, After = pair.After.Score }))],
        (NextTokenResult b, NextTokenResult a) => [.. b.Candidates.Join(a.Candidates, candidate => candidate.Id, candidate => candidate.Id, (one, other) => (one, other))
            .Where(pair => all || best.Contains(pair.one.Id))
            .Select(pair => new AblationDifference { Token = pair.one.Token, Before = pair.one.Score, After = pair.other.Score })],
        (TextClassificationResult b, TextClassificationResult a) => [.. b.Labels.Select((label, i) => (label, i)).Join(a.Labels, one => one.label.Label, other => other.Label, (one, other) => new AblationDifference { Label = one.label.Label, Before = one.label.Score, After = other.Score })],
        _ => [],
    };

    private static IEnumerable<(TokenCandidate Before, TokenCandidate After)> Pairs(IEnumerable<TokenCandidate> before, IEnumerable<TokenCandidate> after) =>
        before.Join(after, candidate => candidate.Id, candidate => candidate.Id, (one, other) => (one, other));

    // A graph without masks of its heads runs as it is.
    private static float[]? Fed(float[]? mask) => mask is { Length: > 0 } ? mask : null;

    // Log-probability of each token of the target from the second on, given those before it and the source.
    private static Task<double[]> TargetAsync(Model model, PreparedInput source, PreparedInput target, RequestContext context, HeadMasks? masks)
    {
        var logits = model.Generator!.LogitsOutput;
        var ids = target.Graph.InputIds;
        return model.Generator.RunTargetAsync(source.Graph.InputIds, ids, [logits], (_, row) => Logits.OfNext(row[logits], ids, source.Source.Argument), context, Fed(masks?.Own), Fed(masks?.Decoder));
    }
}
