using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>What a vector stands for.</summary>
public enum EmbeddingLevel
{
    /// <summary>One vector for the whole input.</summary>
    Sequence,

    /// <summary>One vector for each token.</summary>
    Token,

    /// <summary>One vector over the vocabulary, of which the values that are not 0 are given.</summary>
    Sparse,
}

/// <summary>The numbers of a vector, named as sentence-transformers names its precisions.</summary>
public enum EmbeddingDataType
{
    /// <summary>32-bit floats.</summary>
    Float32,

    /// <summary>16-bit floats.</summary>
    Float16,

    /// <summary>Signed bytes: the range [-1, 1] in 255 steps.</summary>
    Int8,

    /// <summary>Unsigned bytes: the range [-1, 1] in 255 steps.</summary>
    Uint8,

    /// <summary>One bit a dimension (1: greater than 0), the first in the highest bit; each byte less 128, as a signed byte.</summary>
    Binary,

    /// <summary>One bit a dimension (1: greater than 0), the first in the highest bit, as an unsigned byte.</summary>
    Ubinary,
}

/// <summary>Texts, pairs or token ids to turn into vectors.</summary>
public sealed record EmbeddingsRequest
{
    /// <summary>The inputs, at least 1.</summary>
    public required IReadOnlyList<TextInput> Inputs { get; init; }

    /// <summary>
    /// Pooling instead of the model's own: <c>cls</c>, <c>max</c>, <c>mean</c>, <c>mean_sqrt_len</c>, <c>weightedmean</c>, <c>lasttoken</c>, or several
    /// joined by <c>+</c> (<c>cls+mean</c>), which are concatenated in the order of this list whatever order they are asked in. Null: the model's.
    /// </summary>
    public string? Pooling { get; init; }

    /// <summary>True: unit length; false: as it comes out before any Normalize module; null: as the model says.</summary>
    public bool? Normalize { get; init; }

    /// <summary>Number of leading dimensions to keep, 1 to the model's; what is kept is normalised afterwards where vectors are normalised. Null: all.</summary>
    public int? Dimensions { get; init; }

    /// <summary>Cut inputs that are too long instead of refusing them.</summary>
    public bool Truncate { get; init; }

    /// <summary>The side at which tokens are cut off. Null: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }

    /// <summary>Split inputs that are too long into windows and average their vectors by length, instead of refusing them.</summary>
    public bool Split { get; init; }

    /// <summary>
    /// Name of one of the model's prompts, put before the text. Null: the model's default prompt, where it has one. For a ColBERT folder <c>query</c> and <c>document</c>
    /// choose what the text is, whether it has prompts of these names or not.
    /// </summary>
    public string? PromptName { get; init; }

    /// <summary>One vector an input, one a token, or a sparse one.</summary>
    public EmbeddingLevel Level { get; init; }

    /// <summary>The numbers of the vectors.</summary>
    public EmbeddingDataType DataType { get; init; }

    /// <summary>Most bytes of the vectors of all tokens, written as JSON; more are refused before the model runs.</summary>
    public long MaxAnswerBytes { get; init; } = long.MaxValue;
}
