namespace InferenceServer.Engine.Manifest;

/// <summary>How token vectors become one vector (1_Pooling/config.json); several are concatenated in this order.</summary>
public enum PoolingMode
{
    /// <summary>The first token.</summary>
    Cls,

    /// <summary>Maximum over the tokens.</summary>
    Max,

    /// <summary>Mean over the tokens.</summary>
    Mean,

    /// <summary>Sum divided by the square root of the length.</summary>
    MeanSqrtLen,

    /// <summary>Mean weighted by position (1, 2, 3, ...).</summary>
    WeightedMean,

    /// <summary>The last token.</summary>
    LastToken,
}

/// <summary>A module of a sentence-transformers pipeline after the transformer.</summary>
public abstract record SentenceModule;

/// <summary>1_Pooling. <paramref name="IncludePrompt"/>: whether the prompt's tokens count.</summary>
public sealed record PoolingModule(IReadOnlyList<PoolingMode> Modes, bool IncludePrompt = true) : SentenceModule;

/// <summary>
/// 2_Dense: <c>y = activation(W x + b)</c>, and where <paramref name="UseResidual"/> is set (PyLate) the input added to it, through <paramref name="Residual"/> where the sizes differ.
/// Matrices are row-major <c>[out, in]</c>.
/// </summary>
public sealed record DenseModule(int InFeatures, int OutFeatures, float[] Weight, float[]? Bias, string Activation, bool UseResidual = false, float[]? Residual = null) : SentenceModule;

/// <summary>LayerNorm over the vector.</summary>
public sealed record LayerNormModule(float[] Weight, float[] Bias, float Epsilon) : SentenceModule;

/// <summary>Unit length.</summary>
public sealed record NormalizeModule : SentenceModule;

/// <summary>
/// SpladePooling: the logits <c>[S, vocabulary]</c> of a masked language model become one sparse vector <c>[vocabulary]</c>, <c>log(1 + max(0, x))</c> of each token's
/// logits (the logarithm twice where <paramref name="TwiceLog"/>), their maximum or, where <paramref name="Sum"/>, their sum. https://arxiv.org/abs/2109.10086
/// </summary>
public sealed record SparsePooling(bool Sum, bool TwiceLog);

/// <summary>
/// A ColBERT folder, PyLate's (config_sentence_transformers.json) or Stanford's (artifact.metadata, which has other names): texts are compared token by token. A query gets the query's mark behind its first token and
/// is filled up to its length with mask tokens; a document gets its own mark, and the words of the skip list do not count in it.
/// https://arxiv.org/abs/2004.12832
/// </summary>
/// <param name="QueryMark"><c>query_prefix</c>; empty for none.</param>
/// <param name="DocumentMark"><c>document_prefix</c>; empty for none.</param>
/// <param name="QueryLength"><c>query_length</c>: tokens of a query, the mark included.</param>
/// <param name="DocumentLength"><c>document_length</c>: most tokens of a document, the mark included.</param>
/// <param name="ExpandsQueries"><c>do_query_expansion</c>: whether a query is filled up.</param>
/// <param name="AttendsToExpansion"><c>attend_to_expansion_tokens</c>: whether the tokens of the text see those that it is filled up with.</param>
/// <param name="SkippedWords"><c>skiplist_words</c>.</param>
/// <param name="Size"><c>dim</c> of Stanford's: dimensions of a token's vector; null where it is not said.</param>
public sealed record LateInteraction(
    string QueryMark, string DocumentMark, int QueryLength, int DocumentLength, bool ExpandsQueries, bool AttendsToExpansion, IReadOnlyList<string> SkippedWords, int? Size = null);

/// <summary>LogitScore of a cross-encoder that is a causal language model: the logit of one token at the last position, less that of another where there is one.</summary>
public sealed record LogitScore(int TrueTokenId, int? FalseTokenId);

/// <summary>A sentence-transformers folder: modules.json, its module folders, config_sentence_transformers.json, sentence_bert_config.json.</summary>
/// <param name="Modules">What follows the transformer, in order; the first is the pooling.</param>
/// <param name="Source">File that the pooling was read from, for people (<c>1_Pooling/config.json</c>).</param>
/// <param name="Prompts">Prompts by name.</param>
/// <param name="DefaultPrompt">Name of the prompt that is used when none is asked for, or null.</param>
/// <param name="MaxSequenceLength">sentence_bert_config.json <c>max_seq_length</c>.</param>
/// <param name="DoLowerCase">sentence_bert_config.json <c>do_lower_case</c>: the text is lower-cased before it is tokenised.</param>
/// <param name="Similarity"><c>similarity_fn_name</c>: cosine, dot, euclidean or manhattan; null when not named.</param>
/// <param name="IsComplete">Whether modules.json names the pooling and its file is there; false where something was assumed.</param>
/// <param name="LengthFile">File that <paramref name="MaxSequenceLength"/> was read from; null without one.</param>
/// <param name="Unsupported">Why no vectors can be made, as a part of a sentence, where modules.json has a module that is not supported or weights are missing; else null.</param>
/// <param name="TokenModules">Dense modules that every token's vector goes through, before any pooling.</param>
/// <param name="Sparse">How sparse vectors are made; null where they are not.</param>
/// <param name="Late">How token vectors are compared; null where the folder is none of ColBERT's.</param>
/// <param name="Score">How a causal language model scores pairs; null where it does not.</param>
public sealed record SentencePipeline(
    IReadOnlyList<SentenceModule> Modules,
    string Source,
    IReadOnlyDictionary<string, string> Prompts,
    string? DefaultPrompt,
    int? MaxSequenceLength,
    bool DoLowerCase,
    string? Similarity,
    bool IsComplete = true,
    string? LengthFile = null,
    string? Unsupported = null,
    IReadOnlyList<DenseModule>? TokenModules = null,
    SparsePooling? Sparse = null,
    LateInteraction? Late = null,
    LogitScore? Score = null)
{
    /// <summary>The similarity function when none is named: sparse vectors by dot product, token vectors by MaxSim, others by cosine.</summary>
    public string SimilarityOrDefault => Late is not null ? "maxsim" : Similarity ?? (Sparse is null ? "cosine" : "dot");
}
