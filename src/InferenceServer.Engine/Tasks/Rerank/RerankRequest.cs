using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Rerank;

/// <summary>Which documents answer a query best?</summary>
public sealed record RerankRequest
{
    /// <summary>The query.</summary>
    public required string Query { get; init; }

    /// <summary>The documents, at least one.</summary>
    public required IReadOnlyList<string> Documents { get; init; }

    /// <summary>How many to give, best first; at least 1, null or more than there are gives all.</summary>
    public int? TopN { get; init; }

    /// <summary>Whether the scores of a cross-encoder are its logits as they are, without the activation that its folder names. A bi-encoder's are similarities in any case.</summary>
    public bool RawScores { get; init; }

    /// <summary>Whether the answer repeats the documents' texts.</summary>
    public bool ReturnDocuments { get; init; }

    /// <summary>Cut what is too long, of a pair the longer text first; else it is an error.</summary>
    public bool Truncate { get; init; }

    /// <summary>The side at which tokens are cut off; null: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }
}
