using System.ComponentModel.DataAnnotations;
using InferenceServer.Configuration;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Rerank;
using InferenceServer.Engine.Tokenization;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary><c>POST /api/models/{model}/rerank</c>.</summary>
internal static class RerankEndpoint
{
    private const long BytesPerDocument = 48; // without its text

    /// <summary>Maps it.</summary>
    public static void MapRerank(this IEndpointRouteBuilder routes) => routes.MapPost("/api/models/{model}/rerank", RunAsync)
        .Describes("rerank", "Order documents by a query", "By a cross-encoder's relevance, or by the similarity of vectors when the model is a bi-encoder; best first.", "demo-bert", """{"query": "Where does the cat sleep?", "documents": ["The train leaves at nine.", "The cat sleeps on the sofa.", "O gato dorme no sofá."], "return_documents": true}""")
        .Refuses(400, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504);

    private static async Task<JsonAnswer<RerankAnswer>> RunAsync(InferenceCall call, JsonBody<RerankBody> body)
    {
        var b = body.Value;
        var task = TaskNames.Require<RerankTask>(call.Model);
        call.Begin("rerank", b.Documents.Length);
        if (b.Documents.Length == 0)
        {
            throw RequestException.Unprocessable("documents", "'documents' is an empty list; send at least 1.");
        }

        Bounds.Count("documents", b.Documents.Length, call.Limits.MaxInputs);
        var request = new RerankRequest { Query = b.Query, Documents = b.Documents, TopN = b.TopN, ReturnDocuments = b.ReturnDocuments ?? false, Truncate = b.Truncate ?? false, TruncationDirection = b.TruncationDirection, RawScores = b.RawScores ?? false };
        var result = await call.RunAsync(() => task.RunAsync(call.Model, request, call.Context));
        return new(new RerankAnswer(call.Model.Manifest.Id, result.Results, call.Usage), call, result.Results.Sum(static document => BytesPerDocument + (sizeof(char) * (document.Document?.Length ?? 0L))));
    }
}

/// <summary>A query and documents to order by it.</summary>
internal sealed record RerankBody
{
    /// <summary>The query.</summary>
    public required string Query { get; init; }

    /// <summary>The documents, at least 1.</summary>
    public required string[] Documents { get; init; }

    /// <summary>How many to give, best first. Default: all.</summary>
    [Range(1, int.MaxValue)]
    public int? TopN { get; init; }

    /// <summary>Whether the answer repeats the documents. Default: false.</summary>
    public bool? ReturnDocuments { get; init; }

    /// <summary>Cut what is too long, of a pair the longer text first. Default: false, they are an error.</summary>
    public bool? Truncate { get; init; }

    /// <summary>The side at which tokens are cut off. Default: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }

    /// <summary>Whether the scores of a cross-encoder are its raw logits, without an activation. Default: false.</summary>
    public bool? RawScores { get; init; }
}

/// <summary>The documents, best first.</summary>
/// <param name="Model">The model's id.</param>
/// <param name="Results">Index, score and, when asked for, text.</param>
/// <param name="Usage">What it cost.</param>
internal sealed record RerankAnswer(string Model, IReadOnlyList<RankedDocument> Results, Usage Usage);
