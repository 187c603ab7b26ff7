using System.ComponentModel.DataAnnotations;
using InferenceServer.Configuration;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Tokenize;

namespace InferenceServer.Http.Native;

/// <summary><c>POST /api/models/{model}/tokenize</c>.</summary>
internal static class TokenizeEndpoint
{
    private const long BytesPerToken = 80; // numbers, offsets and the reference of its string

    /// <summary>Maps it.</summary>
    public static void MapTokenize(this IEndpointRouteBuilder routes) => routes.MapPost("/api/models/{model}/tokenize", RunAsync)
        .Describes("tokenize", "Turn texts into tokens", "Ids, tokens, offsets and special flags as the model's tokenizer makes them. Empty texts are fine. Nothing is cut unless asked for; with 'max_length' or 'stride' what was cut off follows as 'overflow'.", "demo-bert", """{"inputs": ["O gato dorme no sofá."]}""")
        .Refuses(400, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504);

    private static async Task<JsonAnswer<TokenizeAnswer>> RunAsync(InferenceCall call, JsonBody<TokenizeBody> body)
    {
        var b = body.Value;
        var texts = b.Inputs.OnlyTexts("inputs", call.Limits.MaxInputs);
        b.Inputs.CheckPairs(b.Pairs);
        call.Begin("tokenize", texts.Count);
        var request = new TokenizeRequest { Inputs = texts, Pairs = b.Pairs?.Texts, AddSpecialTokens = b.AddSpecialTokens ?? true, Truncate = b.Truncate ?? false, MaxLength = b.MaxLength, Stride = b.Stride };
        var result = await call.RunAsync(() => TaskNames.Require<TokenizeTask>(call.Model).RunAsync(call.Model, request, call.Context));
        return new(new TokenizeAnswer(call.Model.Manifest.Id, result.Items, call.Usage), call, BytesPerToken * result.Items.Sum(static item => (long)item.Ids.Count + (item.Overflow?.Sum(static piece => (long)piece.Ids.Count) ?? 0)));
    }
}

/// <summary>Texts to tokenise.</summary>
internal sealed record TokenizeBody
{
    /// <summary>A text or a list of texts; empty texts are fine.</summary>
    public required InputList Inputs { get; init; }

    /// <summary>Second texts, in the form of 'inputs'.</summary>
    public InputList? Pairs { get; init; }

    /// <summary>Whether the tokenizer's special tokens are put in. Default: true.</summary>
    public bool? AddSpecialTokens { get; init; }

    /// <summary>Cut at 'max_length', or at the model's limit. Default: false.</summary>
    public bool? Truncate { get; init; }

    /// <summary>Most tokens, special tokens included; given alone it means truncation.</summary>
    [Range(1, int.MaxValue)]
    public int? MaxLength { get; init; }

    /// <summary>Tokens that an overflow piece repeats of the one before.</summary>
    [Range(0, int.MaxValue)]
    public int? Stride { get; init; }
}

/// <summary>The tokens of every input, in their order.</summary>
/// <param name="Model">The model's id.</param>
/// <param name="Items">One entry an input.</param>
/// <param name="Usage">What it cost.</param>
internal sealed record TokenizeAnswer(string Model, IReadOnlyList<TokenizedItem> Items, Usage Usage);
