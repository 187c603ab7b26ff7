using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>Attention probabilities, and all that is needed to read them.</summary>
public sealed record AttentionResult
{
    /// <summary>Whose attention it is.</summary>
    public required AttentionKind Kind { get; init; }

    /// <summary>Names of the axes, outermost first: <c>layer, head, query, key</c> without those that were put together.</summary>
    public required IReadOnlyList<string> Axes { get; init; }

    /// <summary>Length of each axis.</summary>
    public required IReadOnlyList<int> Shape { get; init; }

    /// <summary>Type of the numbers in the answer: <c>float32</c>, <c>float16</c> or <c>uint8</c>.</summary>
    public required string DataType { get; init; }

    /// <summary>The layers that are answered or were put together.</summary>
    public required IReadOnlyList<int> Layers { get; init; }

    /// <summary>The heads that are answered or were put together.</summary>
    public required IReadOnlyList<int> Heads { get; init; }

    /// <summary>What the queries stand for, in the order of their axis.</summary>
    public required IReadOnlyList<AttentionToken> Tokens { get; init; }

    /// <summary>What the keys stand for; null when they are the same as the queries.</summary>
    public IReadOnlyList<AttentionToken>? KeyTokens { get; init; }

    /// <summary>The probabilities, row-major in <see cref="Shape"/>.</summary>
    public required float[] Values { get; init; }

    /// <summary>The form that was asked for.</summary>
    public AttentionFormat Format { get; init; }

    /// <summary>The probabilities in <see cref="Format"/>: a whole file for npy and safetensors, the numbers for f16_base64 and u8 (base64 is for the wire), null for json.</summary>
    public AttentionPayload? Payload { get; init; }

    /// <summary>What led to the probabilities; null when not asked for.</summary>
    public AttentionComponents? Components { get; init; }

    /// <summary>Each chosen head in numbers; null when not asked for.</summary>
    public IReadOnlyList<HeadStatistics>? Statistics { get; init; }

    /// <summary>Where the numbers come from.</summary>
    public required AttentionProvenance Provenance { get; init; }

    /// <summary>True when something of the sequence was cut off; else null.</summary>
    public bool? Truncated { get; init; }

    /// <summary>Tokens of the sequence that went through the model.</summary>
    public required int TokenCount { get; init; }
}

/// <summary>A token, or the tokens of a word, of the sequence.</summary>
/// <param name="Id">Id of the token (the first one of a word).</param>
/// <param name="Token">The token as the vocabulary has it (the pieces of a word, joined).</param>
/// <param name="Text">The part of the original text that it covers; for ready ids what they decode to.</param>
/// <param name="Start">Start in Unicode code points of its own text (0 for tokens that are not from it, and for ready ids).</param>
/// <param name="End">End, exclusive.</param>
/// <param name="Special">Whether the id is one of the tokenizer's special tokens, wherever it came from.</param>
/// <param name="Segment">0, or 1 for the second text of a pair with the special tokens that close it.</param>
public sealed record AttentionToken(int Id, string Token, string Text, int Start, int End, bool Special, int Segment);

/// <summary>A head in numbers, over all queries of the sequence; means over the queries.</summary>
/// <param name="Layer">Layer.</param>
/// <param name="Head">Head.</param>
/// <param name="Entropy">Entropy of a row in nats.</param>
/// <param name="MeanDistance">Distance between query and key, weighted by attention, in tokens.</param>
/// <param name="Special">Attention that goes to special tokens.</param>
/// <param name="First">Attention that goes to the first token.</param>
/// <param name="Previous">Attention that goes to the token before.</param>
/// <param name="Next">Attention that goes to the token after.</param>
/// <param name="Self">Attention that goes to the token's own position.</param>
/// <param name="Repeated">Attention that goes to other positions with the same token.</param>
/// <param name="Pattern">What the head mostly does (more than half of its attention): <c>special</c>, <c>first</c>, <c>previous</c>, <c>next</c>, <c>self</c> or <c>repeated</c>; <c>broad</c> when its entropy is at least 0.9 of the largest possible; else null.</param>
public sealed record HeadStatistics(int Layer, int Head, float Entropy, float MeanDistance, float Special, float First, float Previous, float Next, float Self, float Repeated, string? Pattern);

/// <summary>Where the numbers come from.</summary>
/// <param name="Tensors">Names of the tensors in the file, one a layer.</param>
/// <param name="File">Name of the ONNX file, relative to the model's folder.</param>
/// <param name="Sha256">SHA-256 of the ONNX file, lower-case hex.</param>
public sealed record AttentionProvenance(IReadOnlyList<string> Tensors, string File, string Sha256);
