using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>Which blocks of a pair are answered; a and b are segments 0 and 1, the first letter is the query's.</summary>
public enum SegmentPair
{
    /// <summary>All.</summary>
    All,

    /// <summary>Queries and keys of the first text.</summary>
    Aa,

    /// <summary>Queries of the first text, keys of the second.</summary>
    Ab,

    /// <summary>Queries of the second text, keys of the first.</summary>
    Ba,

    /// <summary>Queries and keys of the second text.</summary>
    Bb,
}

/// <summary>What is put together into one matrix.</summary>
public enum AggregateOver
{
    /// <summary>The heads of each layer: <c>[layer, query, key]</c>.</summary>
    Heads,

    /// <summary>The layers of each head: <c>[head, query, key]</c>.</summary>
    Layers,

    /// <summary>Everything: <c>[query, key]</c>.</summary>
    All,
}

/// <summary>How matrices become one.</summary>
public enum AggregateMethod
{
    /// <summary>The mean.</summary>
    Mean,

    /// <summary>The largest value of each cell.</summary>
    Max,

    /// <summary>
    /// Attention rollout (Abnar and Zuidema 2020, section 3): the product of the layers' <c>0.5 A + 0.5 I</c>. Over all: of the mean over heads; over layers: head by head;
    /// over heads: of the mean over heads, from the first layer to each layer.
    /// </summary>
    Rollout,

    /// <summary>
    /// Attention flow (Abnar and Zuidema 2020, section 3): the maximum flow from a token of the last layer to each token of the input, through the graph whose capacities are
    /// the layers' <c>0.5 A + 0.5 I</c>. What it runs over is as with <see cref="Rollout"/>.
    /// </summary>
    Flow,
}

/// <summary>Puts matrices together. <paramref name="Token"/>: position of the only query that is answered; needed by flow.</summary>
public sealed record AttentionAggregate(AggregateOver Over, AggregateMethod Method, int? Token = null);

/// <summary>What a row and a column stand for.</summary>
public enum AttentionUnit
{
    /// <summary>A token.</summary>
    Token,

    /// <summary>A word of the pre-tokenizer: the sum over a key's pieces, the mean over a query's pieces.</summary>
    Word,
}

/// <summary>The form of the matrices in the answer.</summary>
public enum AttentionFormat
{
    /// <summary>Nested lists.</summary>
    Json,

    /// <summary>A NumPy file (<c>.npy</c>, version 1.0, <c>&lt;f4</c>).</summary>
    Npy,

    /// <summary>A safetensors file with one tensor <c>attention</c>, and the rest of the answer in its metadata.</summary>
    Safetensors,

    /// <summary>Little-endian 16-bit floats in base64.</summary>
    F16Base64,

    /// <summary>One byte a value, <c>round(255 p)</c>, in base64.</summary>
    U8,
}

/// <summary>Attention probabilities of one sequence.</summary>
/// <remarks>The steps go in this order: aggregate; merge to words; pair, ranges and exclude_special; renormalize; top_k; threshold.</remarks>
public sealed record AttentionRequest
{
    /// <summary>The text; or <see cref="InputIds"/>.</summary>
    public string? Text { get; init; }

    /// <summary>Ready ids that go into the graph as they are; or <see cref="Text"/>.</summary>
    public int[]? InputIds { get; init; }

    /// <summary>The second text of a pair; an empty one is a pair.</summary>
    public string? TextPair { get; init; }

    /// <summary>The target of an encoder-decoder as text.</summary>
    public string? TargetText { get; init; }

    /// <summary>The decoder's input ids as they are, start token included.</summary>
    public int[]? TargetIds { get; init; }

    /// <summary>Whose attention; null: the model's first kind (encoder before decoder).</summary>
    public AttentionKind? Kind { get; init; }

    /// <summary>The layers, from 0, in the order of the answer; null: all.</summary>
    public IReadOnlyList<int>? Layers { get; init; }

    /// <summary>The heads, from 0, in the order of the answer; null: all.</summary>
    public IReadOnlyList<int>? Heads { get; init; }

    /// <summary>The blocks of a pair.</summary>
    public SegmentPair Pair { get; init; }

    /// <summary>How layers and heads are put together; null: they are not.</summary>
    public AttentionAggregate? Aggregate { get; init; }

    /// <summary>Leave the tokenizer's special tokens out, as queries and as keys.</summary>
    public bool ExcludeSpecial { get; init; }

    /// <summary>Scale each row that is answered to the sum 1 (a row of zeros stays).</summary>
    public bool Renormalize { get; init; }

    /// <summary>Keep the largest values of each row, set the others to 0.</summary>
    public int? TopK { get; init; }

    /// <summary>Set values below it to 0; 0 to 1.</summary>
    public float? Threshold { get; init; }

    /// <summary><c>[from, to)</c>: queries by position in the sequence (of words when they are merged).</summary>
    public (int From, int To)? QueryRange { get; init; }

    /// <summary><c>[from, to)</c>: keys by position in the sequence (of words when they are merged).</summary>
    public (int From, int To)? KeyRange { get; init; }

    /// <summary>Tokens or words.</summary>
    public AttentionUnit Merge { get; init; }

    /// <summary>Describe each chosen head in numbers.</summary>
    public bool Statistics { get; init; }

    /// <summary>What led to the probabilities is answered as well; null: nothing.</summary>
    public IReadOnlyList<AttentionPart>? Components { get; init; }

    /// <summary>Most cells of a side: every matrix is answered as a picture in which each cell is the largest of those that it stands for; null: as it is.</summary>
    public int? Thumbnail { get; init; }

    /// <summary>Most tokens that a decoder alone goes on with, greedily, before its attention is read; null: none.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>Cut a sequence that is too long, of a pair the longer text first; else it is an error.</summary>
    public bool Truncate { get; init; }

    /// <summary>The side at which tokens are cut off; null: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }

    /// <summary>The form of the matrices.</summary>
    public AttentionFormat Format { get; init; }

    /// <summary>Most bytes of the answer; a larger one is refused before the model runs. 64 MiB.</summary>
    public long MaxAnswerBytes { get; init; } = 64L << 20;
}
