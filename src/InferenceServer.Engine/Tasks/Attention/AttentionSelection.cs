using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>What of a model's attention is asked for, checked against what its graph offers.</summary>
/// <param name="Kind">Whose attention.</param>
/// <param name="Layers">The layers.</param>
/// <param name="Heads">The heads.</param>
/// <param name="Outputs">The tensors to read, one a layer.</param>
/// <param name="Parts">The tensors of each component that is asked for, one a layer.</param>
internal sealed record AttentionSelection(AttentionKind Kind, int[] Layers, int[] Heads, AttentionOutput[] Outputs, IReadOnlyList<(AttentionPart Part, string[] Outputs)> Parts)
{
    /// <summary>Most bytes that are held while an answer is put together.</summary>
    private const long WorkingBytes = 512L << 20;

    /// <summary>Most multiplications of a rollout: some seconds.</summary>
    private const double RolloutWork = 20e9;

    /// <summary>Most edges that a flow may look at in one go over all its targets: some seconds.</summary>
    private const double FlowWork = 4e8;

    private static readonly Argument KindOf = Argument.Of(nameof(AttentionRequest.Kind));
    private static readonly Argument LayersOf = Argument.Of(nameof(AttentionRequest.Layers));
    private static readonly Argument HeadsOf = Argument.Of(nameof(AttentionRequest.Heads));
    private static readonly Argument Pair = Argument.Of(nameof(AttentionRequest.Pair));
    private static readonly Argument TextPair = Argument.Of(nameof(AttentionRequest.TextPair));
    private static readonly Argument Aggregate = Argument.Of(nameof(AttentionRequest.Aggregate));
    private static readonly Argument ExcludeSpecial = Argument.Of(nameof(AttentionRequest.ExcludeSpecial));
    private static readonly Argument TopK = Argument.Of(nameof(AttentionRequest.TopK));
    private static readonly Argument Threshold = Argument.Of(nameof(AttentionRequest.Threshold));
    private static readonly Argument QueryRange = Argument.Of(nameof(AttentionRequest.QueryRange));
    private static readonly Argument KeyRange = Argument.Of(nameof(AttentionRequest.KeyRange));
    private static readonly Argument Thumbnail = Argument.Of(nameof(AttentionRequest.Thumbnail));
    private static readonly Argument Merge = Argument.Of(nameof(AttentionRequest.Merge));
    private static readonly Argument Components = Argument.Of(nameof(AttentionRequest.Components));
    private static readonly Argument Format = Argument.Of(nameof(AttentionRequest.Format));
    private static readonly Argument StatisticsOf = Argument.Of(nameof(AttentionRequest.Statistics));
    private static readonly Argument AggregateToken = Aggregate.Property(nameof(AttentionAggregate.Token));

    /// <summary>Checks the request as far as the text does not matter.</summary>
    public static AttentionSelection Of(Model model, AttentionRequest request)
    {
        AttentionOutput[] all = [.. model.Graph.Attention, .. model.DecoderGraph?.Attention ?? []];
        var offered = all.Select(tap => tap.Kind).Distinct().Order().ToArray();
        if (offered.Length == 0)
        {
            throw new InferenceException(ErrorCode.Unprocessable, $"{model.Graph.AttentionUnavailable ?? $"The graph of {model.Manifest.Id} shows no attention probabilities."}");
        }

        var names = ErrorText.List(offered);
        if (request.Kind is { } asked && !offered.Contains(asked))
        {
            throw InferenceException.Unprocessable(KindOf, $"{KindOf} is {asked}; the model {model.Manifest.Id} offers {names}. Use that or leave {KindOf} out.{(model.DecoderGraph?.AttentionUnavailable is { } why ? $" Of its decoder: {why}" : (ErrorText)$"")}");
        }

        var kind = request.Kind ?? offered[0];
        var hasTarget = model.DecoderGraph is not null && kind != AttentionKind.Encoder;

        if (!hasTarget && (request.TargetText is not null || request.TargetIds is not null))
        {
            var target = Argument.Of(request.TargetText is not null ? nameof(request.TargetText) : nameof(request.TargetIds));
            throw InferenceException.Unprocessable(target, $"{target} is for the decoder of an encoder-decoder, {KindOf} {AttentionKind.Decoder} or {AttentionKind.Cross}; here {KindOf} is {kind}, and the model {model.Manifest.Id} offers attention of the kinds {names}. Leave {target} out.");
        }

        CheckComponents(request);
        if (kind == AttentionKind.Cross && request.Aggregate?.Method is AggregateMethod.Rollout or AggregateMethod.Flow)
        {
            throw InferenceException.Unprocessable(Aggregate, $"{Aggregate} by {request.Aggregate!.Method} goes through the layers of one sequence, and cross attention reads another. Use {AggregateMethod.Mean} or {AggregateMethod.Max}.");
        }

        if (kind == AttentionKind.Cross && request.Statistics)
        {
            throw InferenceException.Unprocessable(StatisticsOf, $"{StatisticsOf} describe attention within one sequence, and cross attention reads another. Leave {StatisticsOf} out.");
        }

        var taps = all.Where(tap => tap.Kind == kind).OrderBy(tap => tap.Layer).ToArray();
        var heads = (hasTarget ? model.Manifest.Config.DecoderHeads : null) ?? model.Manifest.Config.Heads
            ?? throw new InferenceException(ErrorCode.Unprocessable, $"The config.json of {model.Manifest.Id} does not say how many attention heads there are.");
        var layers = Chosen(LayersOf, request.Layers, [.. taps.Select(tap => tap.Layer)]);
        CheckNumbers(request);
        return new AttentionSelection(
            kind,
            layers,
            Chosen(HeadsOf, request.Heads, [.. Enumerable.Range(0, heads)]),
            [.. layers.Select(layer => taps.First(tap => tap.Layer == layer))],
            PartsOf(model, request, hasTarget ? model.DecoderGraph! : model.Graph, kind, layers));
    }

    private static List<(AttentionPart, string[])> PartsOf(Model model, AttentionRequest request, GraphSummary graph, AttentionKind kind, int[] layers)
    {
        var parts = new List<(AttentionPart, string[])>();
        var asked = request.Components ?? [];
        for (var i = 0; i < asked.Count; i++)
        {
            string?[] outputs = [.. layers.Select(layer => graph.AttentionParts.FirstOrDefault(part => part.Part == asked[i] && part.Kind == kind && part.Layer == layer)?.Output)];
            if (Array.IndexOf(outputs, null) is >= 0 and var at)
            {
                AttentionPart[] shown = [.. Enum.GetValues<AttentionPart>().Where(part => layers.All(layer => graph.AttentionParts.Any(one => one.Part == part && one.Kind == kind && one.Layer == layer)))];
                throw InferenceException.Unprocessable(
                    Components[i],
                    $"{Components[i]} is {asked[i]}, which the graph of {model.Manifest.Id} does not show in layer {layers[at]} (it is inside an operator, quantised, or put together with something else). {(shown.Length > 0 ? (ErrorText)$"It shows {ErrorText.List(shown)}." : $"It shows none: leave {Components} out, or export the model with attn_implementation=eager.")}");
            }

            parts.Add((asked[i], [.. outputs.OfType<string>()]));
        }

        return parts;
    }

    private static void CheckComponents(AttentionRequest request)
    {
        if (request.Components is not { Count: > 0 } asked)
        {
            return;
        }

        for (var i = 0; i < asked.Count; i++)
        {
            if (asked.Take(i).Contains(asked[i]))
            {
                throw InferenceException.Unprocessable(Components[i], $"{Components[i]} repeats {asked[i]}: name each one once.");
            }
        }

        if (request.Format is not (AttentionFormat.Json or AttentionFormat.Safetensors))
        {
            throw InferenceException.Unprocessable(Format, $"{Format} is {request.Format}, which has one tensor; {Components} need {AttentionFormat.Json} or {AttentionFormat.Safetensors}.");
        }

        if (request.Merge == AttentionUnit.Word)
        {
            throw InferenceException.Unprocessable(Merge, $"{Components} are of tokens: use {Merge} {AttentionUnit.Token}, or leave {Components} out.");
        }

        if (request.Aggregate is not null)
        {
            throw InferenceException.Unprocessable(Aggregate, $"{Components} are of single heads: leave {Aggregate} out, or {Components}.");
        }
    }

    /// <summary>The units that are answered as queries and as keys, by position.</summary>
    public (int[] Queries, int[] Keys) Units(AttentionRequest request, AttentionSequence sequence, AttentionSequence keySequence)
    {
        if (request.Pair != SegmentPair.All && !sequence.HasPair && request.Pair != SegmentPair.Aa)
        {
            throw InferenceException.Unprocessable(Pair, $"{Pair} is {request.Pair} and the input has no second text: send {TextPair}, or use {SegmentPair.All}.");
        }

        var (querySegment, keySegment) = request.Pair switch
        {
            SegmentPair.Aa => (0, 0),
            SegmentPair.Ab => (0, 1),
            SegmentPair.Ba => (1, 0),
            SegmentPair.Bb => (1, 1),
            _ => (-1, -1),
        };
        var queries = Select(sequence, QueryRange, "queries", request.QueryRange, querySegment);
        var keys = Select(keySequence, KeyRange, "keys", request.KeyRange, keySegment);
        if (request.Aggregate?.Token is { } token)
        {
            if (token < 0 || token >= sequence.Tokens.Length)
            {
                throw InferenceException.Unprocessable(AggregateToken, $"{AggregateToken} is {token}; the sequence has {sequence.Tokens.Length} tokens, so it goes from 0 to {sequence.Tokens.Length - 1}.");
            }

            queries = [.. queries.Where(query => query == token)];
            if (queries.Length == 0)
            {
                throw InferenceException.Unprocessable(AggregateToken, $"{AggregateToken} is {token}, which {Pair} or {ExcludeSpecial} leave out: choose another token, or drop those.");
            }
        }

        return (queries, keys);

        int[] Select(AttentionSequence sequence, Argument argument, string what, (int From, int To)? range, int segment)
        {
            var (from, to) = range ?? (0, sequence.Units.Length);
            if (from < 0 || to > sequence.Units.Length || from >= to)
            {
                var unit = request.Merge == AttentionUnit.Word ? "words (special tokens count as words)" : "tokens";
                throw InferenceException.Unprocessable(
                    argument,
                    $"{argument} is [{from}, {to}]; the sequence has {sequence.Units.Length} {unit}, and [from, to] needs 0 <= from < to <= {sequence.Units.Length}.");
            }

            int[] units = [.. Enumerable.Range(from, to - from).Where(i => (segment < 0 || sequence.Units[i].Segment == segment) && !(request.ExcludeSpecial && sequence.Units[i].Special))];
            return units.Length > 0
                ? units
                : throw InferenceException.Unprocessable(
                    range is not null ? argument : request.ExcludeSpecial ? ExcludeSpecial : Pair,
                    $"Nothing is left of the {what} after {argument}, {Pair} and {ExcludeSpecial}: widen the range, or drop one of them.");
        }
    }

    /// <summary>Refuses what would be too large or take too long, before the model runs.</summary>
    /// <param name="request">What is asked.</param>
    /// <param name="sequence">The queries' tokens.</param>
    /// <param name="keySequence">The keys' tokens.</param>
    /// <param name="queries">Units that are answered as queries.</param>
    /// <param name="keys">Units that are answered as keys.</param>
    /// <param name="headSize">Numbers of a query, key or value, by estimate.</param>
    public void CheckSize(AttentionRequest request, AttentionSequence sequence, AttentionSequence keySequence, int[] queries, int[] keys, int headSize)
    {
        var over = request.Aggregate?.Over;
        long matrices = (over is AggregateOver.Layers or AggregateOver.All ? 1L : Layers.Length) * (over is AggregateOver.Heads or AggregateOver.All ? 1L : Heads.Length);
        var side = request.Thumbnail ?? int.MaxValue;
        var (rows, width, size) = (matrices * Math.Min(side, queries.Length), Math.Min(side, keys.Length), sequence.Tokens.Length);
        var tokens = (queries.Length + (queries.AsSpan().SequenceEqual(keys) ? 0 : keys.Length)) * 120L;
        var kept = Math.Min(request.TopK ?? width, width);
        var bytes = request.Format switch
        {
            AttentionFormat.Npy => rows * width * 4,
            AttentionFormat.Safetensors => (rows * width * 4) + tokens,
            AttentionFormat.F16Base64 => (rows * width * 8 / 3) + tokens,
            AttentionFormat.U8 => (rows * width * 4 / 3) + tokens,
            _ => (rows * ((kept * 13L) + ((width - kept) * 2L))) + tokens,
        };
        bytes += ComponentBytes(request, queries.Length, keys.Length, headSize);
        bytes += request.Statistics ? (long)Layers.Length * Heads.Length * 200 : 0;
        if (bytes > request.MaxAnswerBytes)
        {
            throw new InferenceException(
                ErrorCode.TooLarge,
                $"The answer would take about {bytes} bytes ({matrices} matrices of {rows / matrices} x {width} as {request.Format}); the limit is {request.MaxAnswerBytes}. Choose fewer {LayersOf} or {HeadsOf}, a {QueryRange} or {KeyRange}, an {Aggregate}, {TopK}, a {Thumbnail}, or a smaller {Format} ({ErrorText.List([AttentionFormat.U8, AttentionFormat.F16Base64])}).")
            {
                Limit = nameof(request.MaxAnswerBytes),
            };
        }

        var path = request.Aggregate?.Method is AggregateMethod.Rollout or AggregateMethod.Flow;
        var groups = over == AggregateOver.Layers ? Heads.Length : 1;
        var working = path
            ? (long)groups * Layers.Length * size * size * 4
            : matrices * queries.Sum(unit => sequence.Pieces[unit].Length) * keys.Sum(unit => keySequence.Pieces[unit].Length) * 4;
        if (working > WorkingBytes)
        {
            throw TooLarge($"The answer needs {working} bytes to be put together; the limit is {WorkingBytes}. Choose fewer {LayersOf} or {HeadsOf}, or a shorter text.");
        }

        if (request.Aggregate?.Method == AggregateMethod.Rollout)
        {
            var each = over == AggregateOver.Heads ? size : queries.Sum(unit => sequence.Pieces[unit].Length);
            var work = (double)groups * Layers.Length * size * size * each;
            if (work > RolloutWork)
            {
                throw TooLarge($"A rollout of {size} tokens over {Layers.Length} layers is too much work ({(long)work} multiplications; the limit is {(long)RolloutWork}). Choose {AggregateToken}, a {QueryRange}, or a shorter text.");
            }
        }

        if (request.Aggregate?.Method == AggregateMethod.Flow)
        {
            var each = over == AggregateOver.Heads ? (Layers.Length + 1) / 2.0 : 1; // a flow for each layer
            var work = groups * each * Layers.Length * size * size * keys.Sum(unit => sequence.Pieces[unit].Length);
            if (work > FlowWork)
            {
                throw TooLarge($"A flow through {size} tokens and {Layers.Length} layers is too much work ({(long)work} edges; the limit is {(long)FlowWork}). Choose a {KeyRange}, fewer {LayersOf}, a shorter text, or {AggregateMethod.Rollout}.");
            }
        }
    }

    private long ComponentBytes(AttentionRequest request, int queries, int keys, int headSize)
    {
        var numbers = Parts.Sum(part => part.Part switch
        {
            AttentionPart.Scores => (long)queries * keys,
            AttentionPart.K or AttentionPart.V => (long)keys * headSize,
            _ => (long)queries * headSize,
        });
        return numbers * Layers.Length * Heads.Length * (request.Format == AttentionFormat.Json ? 13 : sizeof(float));
    }

    /// <summary>Names of the axes that are left.</summary>
    public string[] Axes(AttentionAggregate? aggregate) => aggregate?.Over switch
    {
        AggregateOver.Heads => ["layer", "query", "key"],
        AggregateOver.Layers => ["head", "query", "key"],
        AggregateOver.All => ["query", "key"],
        _ => ["layer", "head", "query", "key"],
    };

    /// <summary>Lengths of the axes that are left.</summary>
    public int[] Shape(AttentionAggregate? aggregate, int queries, int keys) => aggregate?.Over switch
    {
        AggregateOver.Heads => [Layers.Length, queries, keys],
        AggregateOver.Layers => [Heads.Length, queries, keys],
        AggregateOver.All => [queries, keys],
        _ => [Layers.Length, Heads.Length, queries, keys],
    };

    private static void CheckNumbers(AttentionRequest request)
    {
        if (request.TopK is < 1)
        {
            throw InferenceException.Unprocessable(TopK, $"{TopK} is {request.TopK}; it must be at least 1. Raise it or leave it out.");
        }

        if (request.Thumbnail is < 1)
        {
            throw InferenceException.Unprocessable(Thumbnail, $"{Thumbnail} is {request.Thumbnail}; a picture has at least 1 cell a side. Raise it or leave it out.");
        }

        if (request.Threshold is { } threshold && threshold is not (>= 0 and <= 1))
        {
            throw InferenceException.Unprocessable(Threshold, $"{Threshold} is {threshold}; it goes from 0 to 1.");
        }

        if (request.Aggregate is not { } aggregate)
        {
            return;
        }

        if (aggregate is { Method: AggregateMethod.Flow, Token: null })
        {
            throw InferenceException.Unprocessable(AggregateToken, $"{AggregateToken} is missing: {AggregateMethod.Flow} is computed for one token. Give its position.");
        }

        if (aggregate.Token is not null && request.QueryRange is not null)
        {
            throw InferenceException.Unprocessable(QueryRange, $"{QueryRange} and {AggregateToken} exclude each other: the token is the only query. Leave {QueryRange} out.");
        }

        if (aggregate.Token is not null && request.Merge == AttentionUnit.Word)
        {
            throw InferenceException.Unprocessable(Merge, $"{Merge} {AttentionUnit.Word} and {AggregateToken} exclude each other, since {AggregateToken} is the position of a token. Use {Merge} {AttentionUnit.Token}.");
        }
    }

    private static int[] Chosen(Argument argument, IReadOnlyList<int>? asked, int[] all)
    {
        if (asked is null)
        {
            return all;
        }

        if (asked.Count == 0)
        {
            throw InferenceException.Unprocessable(argument, $"{argument} is empty: name at least 1, or leave it out for all {all.Length}.");
        }

        for (var i = 0; i < asked.Count; i++)
        {
            if (!all.Contains(asked[i]))
            {
                throw InferenceException.Unprocessable(argument[i], $"{argument[i]} is {asked[i]}; the model has {argument} {all[0]} to {all[^1]}.");
            }

            if (asked.Take(i).Contains(asked[i]))
            {
                throw InferenceException.Unprocessable(argument[i], $"{argument[i]} repeats {asked[i]}: name each one once.");
            }
        }

        return [.. asked];
    }

    private static InferenceException TooLarge(ErrorText text) => new(ErrorCode.TooLarge, text);
}
