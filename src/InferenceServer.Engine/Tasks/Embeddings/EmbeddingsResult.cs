namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>Vectors in the order of the inputs.</summary>
/// <param name="Dimensions">Dimensions of each vector, before bits are packed; of a sparse one the size of the vocabulary.</param>
/// <param name="DataType">The numbers of the vectors.</param>
/// <param name="Pooling">The pooling that was used; null for token vectors and sparse ones.</param>
/// <param name="Normalized">Whether the vectors have unit length (before quantisation).</param>
/// <param name="Items">The vectors.</param>
public sealed record EmbeddingsResult(
    int Dimensions,
    EmbeddingDataType DataType,
    PoolingChoice? Pooling,
    bool Normalized,
    IReadOnlyList<EmbeddingItem> Items);

/// <summary>The vector or the vectors of one input.</summary>
public sealed record EmbeddingItem
{
    /// <summary>Index of the input.</summary>
    public required int Index { get; init; }

    /// <summary>The input's vector, with level sequence; else null.</summary>
    public EmbeddingVector? Embedding { get; init; }

    /// <summary>A vector for each token, special tokens included, with level token; else null.</summary>
    public IReadOnlyList<EmbeddingVector>? Embeddings { get; init; }

    /// <summary>Token ids whose value is not 0, ascending, with level sparse; else null.</summary>
    public IReadOnlyList<int>? Indices { get; init; }

    /// <summary>The values of <see cref="Indices"/>.</summary>
    public EmbeddingVector? Values { get; init; }

    /// <summary>The tokens of <see cref="Embeddings"/> or of <see cref="Indices"/>; null for level sequence.</summary>
    public IReadOnlyList<string>? Tokens { get; init; }

    /// <summary><c>[start, end)</c> of each token in Unicode code points of the input (of its own text in a pair); <c>(0, 0)</c> for special tokens, the prompt's and ready ids. With level token; else null.</summary>
    public IReadOnlyList<(int Start, int End)>? Offsets { get; init; }

    /// <summary>Tokens that went through the model, special tokens and the prompt included (of all windows together).</summary>
    public required int TokenCount { get; init; }

    /// <summary>True when something was cut off.</summary>
    public bool Truncated { get; init; }

    /// <summary>Windows that the vector is the length-weighted mean of; 1 when the input was not split.</summary>
    public int Windows { get; init; } = 1;
}
