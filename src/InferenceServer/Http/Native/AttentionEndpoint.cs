using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using InferenceServer.Configuration;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Attention;
using InferenceServer.Engine.Tokenization;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary><c>POST /api/models/{model}/attention</c>.</summary>
internal static class AttentionEndpoint
{
    /// <summary>Maps it.</summary>
    public static void MapAttention(this IEndpointRouteBuilder routes) => routes.MapPost("/api/models/{model}/attention", RunAsync)
        .Describes("attention", "Where every head reads", "Attention probabilities [layer, head, query, key] of one sequence, with tokens whose offsets point into the original text. The steps go in this order: aggregate; merge; pair, ranges, exclude_special; renormalize; top_k; threshold. npy and safetensors answer a file.", "demo-bert", """{"text": "O banco da praça estava sujo, então fui ao banco sacar dinheiro.", "layers": [3], "heads": [0, 5]}""")
        .WithMetadata(new FurtherExample("between a translation and its source", "demo-translator", """{"text": "The girl gave the red flowers to the teacher.", "kind": "cross", "aggregate": {"over": "all", "method": "mean"}}"""))
        .Produces<AttentionAnswer>(StatusCodes.Status200OK, "application/json", "application/octet-stream")
        .Refuses(400, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504);

    private static async Task<IResult> RunAsync(InferenceCall call, JsonBody<AttentionBody> body)
    {
        var b = body.Value;
        var task = TaskNames.Require<AttentionTask>(call.Model);
        call.Begin("attention", 1);
        var request = new AttentionRequest
        {
            Text = b.Text,
            InputIds = b.InputIds,
            TextPair = b.TextPair,
            TargetText = b.TargetText,
            TargetIds = b.TargetIds,
            Kind = b.Kind,
            Layers = b.Layers,
            Heads = b.Heads,
            Pair = b.Pair ?? SegmentPair.All,
            Aggregate = b.Aggregate is { } a ? new AttentionAggregate(a.Over, a.Method, a.Token) : null,
            ExcludeSpecial = b.ExcludeSpecial ?? false,
            Renormalize = b.Renormalize ?? false,
            TopK = b.TopK,
            Threshold = b.Threshold,
            QueryRange = Range("query_range", b.QueryRange),
            KeyRange = Range("key_range", b.KeyRange),
            Merge = b.Merge ?? AttentionUnit.Token,
            Statistics = b.Statistics ?? false,
            Components = b.Components,
            Thumbnail = b.Thumbnail,
            MaxNewTokens = b.MaxNewTokens,
            Truncate = b.Truncate ?? false,
            TruncationDirection = b.TruncationDirection,
            Format = b.Format ?? AttentionFormat.Json,
            MaxAnswerBytes = call.Limits.MaxAnswerBytes,
        };
        var result = await call.RunAsync(() => task.RunAsync(call.Model, request, call.Context));
        return result.Format switch
        {
            AttentionFormat.Npy => new FileAnswer(result.Payload!, "application/octet-stream", "attention.npy", call),
            AttentionFormat.Safetensors => new FileAnswer(result.Payload!, "application/octet-stream", "attention.safetensors", call),
            _ when result.Payload is { } payload => new Base64Answer<AttentionAnswer>(text => Answer(call, result, text), payload, call),
            _ => new JsonAnswer<AttentionAnswer>(Answer(call, result, Nested(result.Values, result.Shape.ToArray())), call, (result.Values.Length + (result.Components?.Tensors.Sum(static tensor => (long)tensor.Values.Length) ?? 0)) * sizeof(float)),
        };
    }

    private static AttentionAnswer Answer(InferenceCall call, AttentionResult result, object attention) => new()
    {
        Model = call.Model.Manifest.Id,
        Kind = result.Kind,
        Axes = result.Axes,
        Shape = result.Shape,
        Dtype = result.DataType,
        Layers = result.Layers,
        Heads = result.Heads,
        Tokens = result.Tokens,
        KeyTokens = result.KeyTokens,
        Attention = attention,
        Statistics = result.Statistics,
        Components = result.Components is { } components ? Components(components) : null,
        Truncated = result.Truncated,
        Provenance = result.Provenance,
        Usage = call.Usage,
    };

    // By their names, with the scale: one number where all layers have the same, else one a layer.
    private static Dictionary<string, object?> Components(AttentionComponents components)
    {
        var named = components.Tensors.ToDictionary(static tensor => JsonNamingPolicy.SnakeCaseLower.ConvertName(tensor.Part.ToString()), static object? (tensor) => Nested(tensor.Values, tensor.Shape.ToArray()));
        if (components.Scale.Count > 0)
        {
            named["scale"] = components.Scale.Distinct().Count() == 1 ? components.Scale[0] : components.Scale;
        }

        return named;
    }

    /// <summary>The values as nested lists that are walked while they are written, so that the answer never exists as a whole.</summary>
    private static object Nested(ReadOnlyMemory<float> values, ReadOnlyMemory<int> shape)
    {
        if (shape.Length <= 1)
        {
            return values;
        }

        var size = shape.Span[0] == 0 ? 0 : values.Length / shape.Span[0];
        return Enumerable.Range(0, shape.Span[0]).Select(i => Nested(values.Slice(i * size, size), shape[1..]));
    }

    private static (int From, int To)? Range(string field, int[]? range) => range switch
    {
        null => null,
        [var from, var to] => (from, to),
        _ => throw RequestException.Unprocessable(field, $"'{field}' has {range.Length} numbers; it takes two: [from, to), as in [0, 8]."),
    };
}

/// <summary>A sequence, and which of its attention is wanted.</summary>
internal sealed record AttentionBody
{
    /// <summary>The text; or 'input_ids'.</summary>
    public string? Text { get; init; }

    /// <summary>Ready token ids that go into the model as they are; or 'text'.</summary>
    public int[]? InputIds { get; init; }

    /// <summary>The second text of a pair.</summary>
    public string? TextPair { get; init; }

    /// <summary>What the decoder of an encoder-decoder reads, as text; kinds decoder and cross. Default: what the model makes of the text itself.</summary>
    public string? TargetText { get; init; }

    /// <summary>The same as the decoder's input ids, start token included.</summary>
    public int[]? TargetIds { get; init; }

    /// <summary>Whose attention. Default: the model's first kind.</summary>
    public AttentionKind? Kind { get; init; }

    /// <summary>Layers, from 0. Default: all.</summary>
    public int[]? Layers { get; init; }

    /// <summary>Heads, from 0. Default: all.</summary>
    public int[]? Heads { get; init; }

    /// <summary>Blocks of a pair: a and b are the first and the second text, the query's first. Default: all.</summary>
    public SegmentPair? Pair { get; init; }

    /// <summary>How layers and heads are put together. Default: they are not.</summary>
    public AggregateBody? Aggregate { get; init; }

    /// <summary>Leave special tokens out. Default: false.</summary>
    public bool? ExcludeSpecial { get; init; }

    /// <summary>Scale each row that is answered to the sum 1. Default: false.</summary>
    public bool? Renormalize { get; init; }

    /// <summary>Keep the largest values of each row, set the others to 0.</summary>
    [Range(1, int.MaxValue)]
    public int? TopK { get; init; }

    /// <summary>Set values below it to 0.</summary>
    [Range(0.0, 1.0)]
    public float? Threshold { get; init; }

    /// <summary>[from, to): queries by position.</summary>
    public int[]? QueryRange { get; init; }

    /// <summary>[from, to): keys by position.</summary>
    public int[]? KeyRange { get; init; }

    /// <summary>Tokens, or words: the sum over a key's pieces, the mean over a query's. Default: token.</summary>
    public AttentionUnit? Merge { get; init; }

    /// <summary>Describe each chosen head in numbers. Default: false.</summary>
    public bool? Statistics { get; init; }

    /// <summary>What led to the probabilities: q, k, v, scores, context.</summary>
    public AttentionPart[]? Components { get; init; }

    /// <summary>Most cells of a side: each matrix as a picture whose cells are the largest of those that they stand for. Default: as it is.</summary>
    [Range(1, int.MaxValue)]
    public int? Thumbnail { get; init; }

    /// <summary>Most tokens that a decoder alone goes on with before its attention is read; their rows are behind those of the prompt. Default: none.</summary>
    [Range(1, int.MaxValue)]
    public int? MaxNewTokens { get; init; }

    /// <summary>Cut texts that are too long, of a pair the longer text first. Default: false, they are an error.</summary>
    public bool? Truncate { get; init; }

    /// <summary>The side at which tokens are cut off. Default: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }

    /// <summary>The form of the matrices. Default: json.</summary>
    public AttentionFormat? Format { get; init; }
}

/// <summary>How layers and heads are put together.</summary>
internal sealed record AggregateBody
{
    /// <summary>What is put together.</summary>
    public required AggregateOver Over { get; init; }

    /// <summary>How.</summary>
    public required AggregateMethod Method { get; init; }

    /// <summary>Position of the only query that is answered; needed by flow.</summary>
    [Range(0, int.MaxValue)]
    public int? Token { get; init; }
}

/// <summary>Attention probabilities, and all that is needed to read them.</summary>
internal sealed record AttentionAnswer
{
    /// <summary>The model's id.</summary>
    public required string Model { get; init; }

    /// <summary>Whose attention.</summary>
    public required AttentionKind Kind { get; init; }

    /// <summary>Names of the axes, outermost first.</summary>
    public required IReadOnlyList<string> Axes { get; init; }

    /// <summary>Length of each axis.</summary>
    public required IReadOnlyList<int> Shape { get; init; }

    /// <summary>Type of the numbers.</summary>
    public required string Dtype { get; init; }

    /// <summary>The layers.</summary>
    public required IReadOnlyList<int> Layers { get; init; }

    /// <summary>The heads.</summary>
    public required IReadOnlyList<int> Heads { get; init; }

    /// <summary>What the queries stand for.</summary>
    public required IReadOnlyList<AttentionToken> Tokens { get; init; }

    /// <summary>What the keys stand for, when it differs.</summary>
    public IReadOnlyList<AttentionToken>? KeyTokens { get; init; }

    /// <summary>Nested lists in the order of the axes, or base64 (f16_base64, u8).</summary>
    public required object Attention { get; init; }

    /// <summary>Each chosen head in numbers.</summary>
    public IReadOnlyList<HeadStatistics>? Statistics { get; init; }

    /// <summary>What led to the probabilities: nested lists q and context [layer, head, query, d], k and v [layer, head, key, d], scores [layer, head, query, key]; with q, k and scores also scale, one number, or one a layer where they differ.</summary>
    public IReadOnlyDictionary<string, object?>? Components { get; init; }

    /// <summary>True when something of the sequence was cut off.</summary>
    public bool? Truncated { get; init; }

    /// <summary>Where the numbers come from.</summary>
    public required AttentionProvenance Provenance { get; init; }

    /// <summary>What it cost.</summary>
    public required Usage Usage { get; init; }
}
