using System.Text.Json;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Ablation;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary><c>POST /api/models/{model}/attention/ablation</c>.</summary>
internal static class AblationEndpoint
{
    private static readonly ErrorNames Names = new(argument => argument.Root switch
    {
        nameof(AblationRequest.Remove) or nameof(AblationRequest.Mask) or nameof(AblationRequest.Heads) or nameof(AblationRequest.Each) => $"change.{ErrorNames.SnakeCase.Of(argument)}",
        nameof(AblationRequest.Text) or nameof(AblationRequest.InputIds) or nameof(AblationRequest.TextPair) or nameof(AblationRequest.TargetText) or nameof(AblationRequest.TargetIds)
            or nameof(AblationRequest.Truncate) or nameof(AblationRequest.Task) => ErrorNames.SnakeCase.Of(argument),
        _ => $"parameters.{ErrorNames.SnakeCase.Of(argument)}",
    });

    private static readonly AblationTask Ablation = new(); // a part of attention, not a task that models list

    /// <summary>Maps it.</summary>
    public static void MapAblation(this IEndpointRouteBuilder routes) => routes.MapPost("/api/models/{model}/attention/ablation", RunAsync)
        .Describes("ablation", "What a prediction owes to a token or a head", "Takes tokens out or masks them, or switches heads off, runs the model again, and answers the prediction before and after with the difference: for fill-mask, text classification and next token in scores, for an encoder-decoder in the log-probabilities of a fixed target. Attention shows where a head reads, not why the model decides; this is the check.", "demo-bert", """{"text": "O banco da praça estava [MASK], então fui ao banco sacar dinheiro.", "change": {"mask": [4]}}""")
        .WithMetadata(
            new FurtherExample("every token of a source, one after the other", "demo-translator", """{"text": "The girl gave the red flowers to the teacher.", "change": {"each": "remove"}}"""),
            new FurtherExample("the next token without a word", "demo-gpt", """{"text": "The cat sleeps on the", "change": {"remove": [1]}}"""))
        .WithMetadata(Names)
        .Refuses(400, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504);

    private static async Task<JsonAnswer<AblationAnswer>> RunAsync(InferenceCall call, JsonBody<AblationBody> body)
    {
        var b = body.Value;
        if (!Ablation.Supports(call.Model))
        {
            throw TaskNames.Lacks(call.Model, "ablation", null, Ablation.WhyNot(call.Model));
        }

        var task = AblationTask.HasTarget(call.Model) ? null : TaskNames.Prediction(call.Model, b.Task);
        if (task is null && (b.Task is not null || b.Parameters is { ValueKind: not JsonValueKind.Null }))
        {
            var field = b.Task is not null ? "task" : "parameters";
            throw RequestException.Unprocessable(field, $"'{field}' is for predictions, and this model is compared by the log-probabilities of a target. Leave '{field}' out.");
        }

        call.Begin("ablation", 1);
        var request = new AblationRequest
        {
            Text = b.Text,
            InputIds = b.InputIds,
            TextPair = b.TextPair,
            TargetText = b.TargetText,
            TargetIds = b.TargetIds,
            Task = task,
            Prediction = task is null ? null : PredictionsEndpoint.Parameters(task, b.Parameters),
            Remove = b.Change.Remove ?? [],
            Mask = b.Change.Mask ?? [],
            Heads = [.. (b.Change.Heads ?? []).Select(head => new AblationHead(head.Layer, head.Head, head.Kind))],
            Each = b.Change.Each,
            Truncate = b.Truncate ?? false,
        };
        var result = await call.RunAsync(() => Ablation.RunAsync(call.Model, request, call.Context));
        return new(new AblationAnswer(call.Model.Manifest.Id, task is null ? "target" : TaskNames.Of(task), result.Before, result.After, result.Difference, result.Differences, result.Truncated, call.Usage), call);
    }
}

/// <summary>A sequence, a prediction, and what is changed.</summary>
internal sealed record AblationBody
{
    /// <summary>The text; or 'input_ids'.</summary>
    public string? Text { get; init; }

    /// <summary>Ready token ids that go into the model as they are; or 'text'.</summary>
    public int[]? InputIds { get; init; }

    /// <summary>The second text of a pair.</summary>
    public string? TextPair { get; init; }

    /// <summary>The fixed target of an encoder-decoder as text. Default: what the model makes of the text itself.</summary>
    public string? TargetText { get; init; }

    /// <summary>The same as the decoder's input ids, start token included.</summary>
    public int[]? TargetIds { get; init; }

    /// <summary>Cut texts that are too long, of a pair the longer text first. Default: false, they are an error.</summary>
    public bool? Truncate { get; init; }

    /// <summary>fill-mask, text-classification or next-token. Default: that of the model's head.</summary>
    public string? Task { get; init; }

    /// <summary>The task's parameters.</summary>
    public JsonElement? Parameters { get; init; }

    /// <summary>What is changed.</summary>
    public required AblationChangeBody Change { get; init; }
}

/// <summary>What is changed of a sequence.</summary>
internal sealed record AblationChangeBody
{
    /// <summary>Positions of tokens that are taken out, special tokens counted.</summary>
    public int[]? Remove { get; init; }

    /// <summary>Positions of tokens that the mask token replaces.</summary>
    public int[]? Mask { get; init; }

    /// <summary>Heads that are switched off: what they give counts as zero.</summary>
    public AblationHeadBody[]? Heads { get; init; }

    /// <summary>One change a token, special ones excepted, each told by itself in 'differences'.</summary>
    public AblationEach? Each { get; init; }
}

/// <summary>A head.</summary>
internal sealed record AblationHeadBody
{
    /// <summary>Its layer, from 0.</summary>
    public required int Layer { get; init; }

    /// <summary>Its number in the layer, from 0.</summary>
    public required int Head { get; init; }

    /// <summary>Whose attention. Default: the model's first kind.</summary>
    public AttentionKind? Kind { get; init; }
}

/// <summary>What the change made of the prediction.</summary>
/// <param name="Model">The model's id.</param>
/// <param name="Task">The prediction that is compared, or target.</param>
/// <param name="Before">The prediction of the input as it is, as predictions answers it.</param>
/// <param name="After">That of the changed input.</param>
/// <param name="Difference">Scores before and after; with a target log-probabilities.</param>
/// <param name="Differences">With 'each': one entry a changed token.</param>
/// <param name="Truncated">True when something of the sequence was cut off.</param>
/// <param name="Usage">What it cost.</param>
internal sealed record AblationAnswer(string Model, string Task, PredictionResult? Before, PredictionResult? After, IReadOnlyList<AblationDifference>? Difference, IReadOnlyList<AblationChange>? Differences, bool? Truncated, Usage Usage);
