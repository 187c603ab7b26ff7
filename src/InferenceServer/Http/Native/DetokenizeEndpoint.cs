using InferenceServer.Configuration;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Detokenize;

namespace InferenceServer.Http.Native;

/// <summary><c>POST /api/models/{model}/detokenize</c>.</summary>
internal static class DetokenizeEndpoint
{
    /// <summary>Maps it.</summary>
    public static void MapDetokenize(this IEndpointRouteBuilder routes) => routes.MapPost("/api/models/{model}/detokenize", RunAsync)
        .Describes("detokenize", "Turn token ids into texts", "Decodes as the model's tokenizer does.", "demo-bert", """{"ids": [[2, 100, 200, 300, 3]]}""")
        .Refuses(400, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504);

    private static async Task<JsonAnswer<DetokenizeAnswer>> RunAsync(InferenceCall call, JsonBody<DetokenizeBody> body)
    {
        var b = body.Value;
        call.Begin("detokenize", b.Ids.Length);
        Bounds.Count("ids", b.Ids.Length, call.Limits.MaxInputs);
        var request = new DetokenizeRequest { Ids = b.Ids, SkipSpecialTokens = b.SkipSpecialTokens ?? true };
        var result = await call.RunAsync(() => TaskNames.Require<DetokenizeTask>(call.Model).RunAsync(call.Model, request, call.Context));
        return new(new DetokenizeAnswer(call.Model.Manifest.Id, result.Texts), call);
    }
}

/// <summary>Token ids to decode.</summary>
internal sealed record DetokenizeBody
{
    /// <summary>Sequences of token ids, at least 1.</summary>
    public required int[][] Ids { get; init; }

    /// <summary>Leave special tokens out. Default: true.</summary>
    public bool? SkipSpecialTokens { get; init; }
}

/// <summary>The texts, in the order of the sequences.</summary>
/// <param name="Model">The model's id.</param>
/// <param name="Texts">One text a sequence.</param>
internal sealed record DetokenizeAnswer(string Model, IReadOnlyList<string> Texts);
