using System.ComponentModel.DataAnnotations;
using InferenceServer.Configuration;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Http.Native;

/// <summary><c>POST /api/models/{model}/embeddings</c>.</summary>
internal static class EmbeddingsEndpoint
{
    private const string Smaller = "Send fewer inputs, or lower 'dimensions'.";

    /// <summary>Maps it.</summary>
    public static void MapEmbeddings(this IEndpointRouteBuilder routes) => routes.MapPost("/api/models/{model}/embeddings", RunAsync)
        .Describes("embeddings", "Turn texts into vectors", "One vector an input (or one a token, or a sparse one over the vocabulary), pooled and normalised as the model's folder says unless the request says otherwise. Inputs that are too long are an error unless 'truncate' or 'split' is set.", "demo-bert", """{"inputs": ["The cat sleeps on the sofa.", "O gato dorme no sofá."]}""")
        .Refuses(400, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504);

    private static async Task<JsonAnswer<EmbeddingsAnswer>> RunAsync(InferenceCall call, JsonBody<EmbeddingsBody> body)
    {
        var b = body.Value;
        var task = TaskNames.Require<EmbeddingsTask>(call.Model);
        var inputs = b.Inputs.WithPairs(b.Pairs, call.Limits.MaxInputs);
        call.Begin("embeddings", inputs.Count);
        if (b.Level is null or EmbeddingLevel.Sequence)
        {
            Bounds.Answer((long)inputs.Count * (b.Dimensions ?? call.Model.Manifest.Config.HiddenSize ?? 0) * Bounds.BytesPerNumber, call.Limits, Smaller);
        }

        var request = new EmbeddingsRequest
        {
            Inputs = inputs,
            Pooling = b.Pooling,
            Normalize = b.Normalize,
            Dimensions = b.Dimensions,
            Truncate = b.Truncate ?? false,
            TruncationDirection = b.TruncationDirection,
            Split = b.Split ?? false,
            PromptName = b.PromptName,
            Level = b.Level ?? EmbeddingLevel.Sequence,
            DataType = b.Dtype ?? EmbeddingDataType.Float32,
            MaxAnswerBytes = call.Limits.MaxAnswerBytes,
        };
        var result = await call.RunAsync(() => task.RunAsync(call.Model, request, call.Context));
        var base64 = b.Encoding == VectorEncoding.Base64;
        return new(new EmbeddingsAnswer(call.Model.Manifest.Id, result.Dimensions, result.DataType, result.Pooling, result.Items.Select(i => Item(i, base64)), call.Usage), call, result.Items.Sum(HeldBy));
    }

    private static long HeldBy(EmbeddingItem item) => (item.Embedding?.Bytes.Length ?? 0) + (item.Values?.Bytes.Length ?? 0) + (item.Embeddings?.Sum(v => (long)v.Bytes.Length) ?? 0);

    private static EmbeddingAnswerItem Item(EmbeddingItem item, bool base64) => new()
    {
        Index = item.Index,
        Embedding = item.Embedding is { } vector ? Written(vector, base64) : null,
        Embeddings = item.Embeddings?.Select(v => Written(v, base64)),
        Indices = item.Indices,
        Values = item.Values is { } values ? Written(values, base64) : null,
        Tokens = item.Tokens is { } tokens ? tokens : item.TokenCount,
        Offsets = item.Offsets?.Select(o => (int[])[o.Start, o.End]),
        Truncated = item.Embeddings is not null && !item.Truncated ? null : item.Truncated,
        Windows = item.Windows > 1 ? item.Windows : null,
    };

    private static object Written(EmbeddingVector vector, bool base64) => base64 ? vector.ToBase64() : vector;
}

/// <summary>How vectors are written.</summary>
internal enum VectorEncoding
{
    /// <summary>Lists of numbers.</summary>
    Json,

    /// <summary>Little-endian numbers in base64: a third of the size.</summary>
    Base64,
}

/// <summary>Texts, pairs or token ids to turn into vectors.</summary>
internal sealed record EmbeddingsBody
{
    /// <summary>A text, a list of texts, or a list of lists of token ids (special tokens included).</summary>
    public required InputList Inputs { get; init; }

    /// <summary>Second texts, in the form of 'inputs'.</summary>
    public InputList? Pairs { get; init; }

    /// <summary>Pooling instead of the model's own: cls, max, mean, mean_sqrt_len, weightedmean, lasttoken, or several joined by '+', whose vectors are concatenated in the order of this list.</summary>
    public string? Pooling { get; init; }

    /// <summary>Whether vectors get unit length. Default: as the model's folder says.</summary>
    public bool? Normalize { get; init; }

    /// <summary>Leading dimensions to keep, 1 to the model's; normalised afterwards. Default: all.</summary>
    [Range(1, 1_000_000)]
    public int? Dimensions { get; init; }

    /// <summary>Cut inputs that are too long. Default: false, they are an error.</summary>
    public bool? Truncate { get; init; }

    /// <summary>The side at which tokens are cut off. Default: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }

    /// <summary>Split inputs that are too long into windows and average their vectors by length. Default: false.</summary>
    public bool? Split { get; init; }

    /// <summary>Name of one of the model's prompts, put before each text. For ColBERT folders query or document: the marks of these go in front.</summary>
    public string? PromptName { get; init; }

    /// <summary>One vector an input (sequence), one a token (token), or one over the vocabulary (sparse: SPLADE folders). Default: sequence.</summary>
    public EmbeddingLevel? Level { get; init; }

    /// <summary>The numbers of the vectors. Default: float32.</summary>
    public EmbeddingDataType? Dtype { get; init; }

    /// <summary>Lists of numbers, or base64 of little-endian numbers. Default: json.</summary>
    public VectorEncoding? Encoding { get; init; }
}

/// <summary>Vectors in the order of the inputs.</summary>
/// <param name="Model">The model's id.</param>
/// <param name="Dimensions">Dimensions of each vector, before bits are packed.</param>
/// <param name="Dtype">The numbers of the vectors.</param>
/// <param name="Pooling">How the vectors of tokens became one, and where that was read from. With level sequence.</param>
/// <param name="Items">One entry an input.</param>
/// <param name="Usage">What it cost.</param>
internal sealed record EmbeddingsAnswer(string Model, int Dimensions, EmbeddingDataType Dtype, PoolingChoice? Pooling, IEnumerable<EmbeddingAnswerItem> Items, Usage Usage);

/// <summary>The vector of an input, dense or sparse, or those of its tokens.</summary>
internal sealed record EmbeddingAnswerItem
{
    /// <summary>Index of the input.</summary>
    public required int Index { get; init; }

    /// <summary>The vector: a list of numbers, or base64. With level sequence.</summary>
    public object? Embedding { get; init; }

    /// <summary>A vector for each token, special tokens included. With level token.</summary>
    public IEnumerable<object>? Embeddings { get; init; }

    /// <summary>Token ids whose value is not 0, ascending. With level sparse.</summary>
    public IReadOnlyList<int>? Indices { get; init; }

    /// <summary>Their values: a list of numbers, or base64. With level sparse.</summary>
    public object? Values { get; init; }

    /// <summary>Number of tokens (level sequence), or the tokens themselves (level token: of the vectors; level sparse: of the indices).</summary>
    public required object Tokens { get; init; }

    /// <summary>[start, end) of each token in code points of its text. With level token.</summary>
    public IEnumerable<int[]>? Offsets { get; init; }

    /// <summary>Whether something was cut off. With level token only when it was.</summary>
    public bool? Truncated { get; init; }

    /// <summary>Windows that were averaged, when the input was split.</summary>
    public int? Windows { get; init; }
}
