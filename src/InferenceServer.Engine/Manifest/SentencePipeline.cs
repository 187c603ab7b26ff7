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

/// <summary>A sentence-transformers folder: modules.json, its module folders, config_sentence_transformers.json, sentence_bert_config.json.</summary>
/// <param name="Modules">What follows the transformer, in order; the first is the pooling.</param>
/// <param name="Source">File that the pooling was read from, for people (<c>1_Pooling/config.json</c>).</param>
/// <param name="Prompts">Prompts by name.</param>
/// <param name="DefaultPrompt">Name of the prompt that is used when none is asked for, or null.</param>
/// <param name="MaxSequenceLength">sentence_bert_config.json <c>max_seq_length</c>.</param>
/// <param name="DoLowerCase">sentence_bert_config.json <c>do_lower_case</c>: the text is lower-cased before it is tokenised.</param>
/// <param name="Similarity"><c>similarity_fn_name</c>: cosine, dot, euclidean or manhattan; null when not named (cosine).</param>
/// <param name="IsComplete">Whether modules.json names the pooling and its file is there; false where something was assumed.</param>
/// <param name="LengthFile">File that <paramref name="MaxSequenceLength"/> was read from; null without one.</param>
/// <param name="Unsupported">Why no vectors can be made, as a part of a sentence, where modules.json has a module that is not supported; else null.</param>
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
    string? Unsupported = null);
