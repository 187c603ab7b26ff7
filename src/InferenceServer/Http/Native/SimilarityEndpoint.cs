using InferenceServer.Configuration;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Similarity;
using InferenceServer.Engine.Tokenization;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary><c>POST /api/models/{model}/similarity</c>.</summary>
internal static class SimilarityEndpoint
{
    private const long BytesPerToken = 64; // its string and its place

    /// <summary>Maps it.</summary>
    public static void MapSimilarity(this IEndpointRouteBuilder routes) => routes.MapPost("/api/models/{model}/similarity", RunAsync)
        .Describes("similarity", "Compare a text with others", "Cosine, dot product, or negative distance, as the model's folder says. With 'explain', what every pair of tokens contributes; the contributions add up to the score.", "demo-bert", """{"source": "The cat sleeps on the sofa.", "sentences": ["O gato dorme no sofá.", "The train leaves at nine."], "explain": true}""")
        .Refuses(400, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504);

    private static async Task<JsonAnswer<SimilarityAnswer>> RunAsync(InferenceCall call, JsonBody<SimilarityBody> body)
    {
        var b = body.Value;
        var task = TaskNames.Require<SimilarityTask>(call.Model);
        call.Begin("similarity", b.Sentences.Length);
        if (b.Sentences.Length == 0)
        {
            throw RequestException.Unprocessable("sentences", "'sentences' is an empty list; send at least 1.");
        }

        Bounds.Count("sentences", b.Sentences.Length, call.Limits.MaxInputs);
        var request = new SimilarityRequest { Source = b.Source, Sentences = b.Sentences, Explain = b.Explain ?? false, Truncate = b.Truncate ?? false, TruncationDirection = b.TruncationDirection };
        var result = await call.RunAsync(() => task.RunAsync(call.Model, request, call.Context));
        Bounds.Answer(result.Explanations?.Sum(e => (long)e.SourceTokens.Count * e.SentenceTokens.Count * Bounds.BytesPerNumber) ?? 0, call.Limits, "Send fewer or shorter sentences, or leave 'explain' out.");
        return new(new SimilarityAnswer(call.Model.Manifest.Id, result.Scores, result.Truncated, result.Explanations, call.Usage), call, HeldBy(result));
    }

    private static long HeldBy(SimilarityResult result) =>
        (result.Scores.Count * sizeof(float)) + (result.Explanations?.Sum(static e => (BytesPerToken * (e.SourceTokens.Count + (long)e.SentenceTokens.Count)) + ((long)e.SourceTokens.Count * e.SentenceTokens.Count * sizeof(float))) ?? 0);
}

/// <summary>A text and those it is compared with.</summary>
internal sealed record SimilarityBody
{
    /// <summary>The text that is compared.</summary>
    public required string Source { get; init; }

    /// <summary>The texts that it is compared with, at least 1.</summary>
    public required string[] Sentences { get; init; }

    /// <summary>Say for every pair of tokens what it contributes (mean-pooled encoders). Default: false.</summary>
    public bool? Explain { get; init; }

    /// <summary>Cut texts that are too long. Default: false, they are an error.</summary>
    public bool? Truncate { get; init; }

    /// <summary>The side at which tokens are cut off. Default: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }
}

/// <summary>How alike the texts are.</summary>
/// <param name="Model">The model's id.</param>
/// <param name="Scores">One score a sentence, in their order.</param>
/// <param name="Truncated">Indices of the sentences of which something was cut off (all when the source was cut).</param>
/// <param name="Explanations">One explanation a sentence, when asked for.</param>
/// <param name="Usage">What it cost.</param>
internal sealed record SimilarityAnswer(string Model, IReadOnlyList<float> Scores, IReadOnlyList<int>? Truncated, IReadOnlyList<SimilarityExplanation>? Explanations, Usage Usage);
