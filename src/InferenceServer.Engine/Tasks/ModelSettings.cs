using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks;

/// <summary>What a person set for one model (<c>Models:{id}:...</c>): it comes before what the folder says. Null and empty: nothing is set.</summary>
public sealed record ModelSettings
{
    /// <summary>No settings.</summary>
    public static ModelSettings None { get; } = new();

    /// <summary>The ONNX file, relative to the folder (<c>onnx/model_fp16.onnx</c>). For folders with several, such as a quantised one beside the default.</summary>
    public string? File { get; init; }

    /// <summary>The pooling, as a request writes it (<c>mean</c>, <c>cls+max</c>).</summary>
    public string? Pooling { get; init; }

    /// <summary>Whether vectors get unit length.</summary>
    public bool? Normalize { get; init; }

    /// <summary>Prompts by name; one of a name that the folder has as well replaces it.</summary>
    public IReadOnlyDictionary<string, string> Prompts { get; init; } = new Dictionary<string, string>();

    /// <summary>Most tokens of a sequence, special tokens included, from 1; the tables of the graph still bound it.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>The graph output that vectors are made of.</summary>
    public string? Output { get; init; }

    /// <summary>Which file counts where tokenizer_config.json and tokenizer.json disagree.</summary>
    public TokenizerConfigUse TokenizerConfig { get; init; }

    /// <summary>The text that a decoder with one label reads, with <c>{query}</c> and <c>{document}</c> where they go.</summary>
    public string? RerankTemplate { get; init; }

    /// <summary>What products with packed weights (MatMulNBits) are computed at: 1 = float32, 2 = float16, 3 = bfloat16, 4 = int8 activations; null: as the file says.</summary>
    public int? AccuracyLevel { get; init; }

    /// <summary>The label that means entailment, for zero-shot classification with a head whose labels have no names.</summary>
    public string? EntailmentLabel { get; init; }

    /// <summary>Values of graph inputs that have no known role, by name: every element of the input gets that value.</summary>
    public IReadOnlyDictionary<string, long> Inputs { get; init; } = new Dictionary<string, long>();
}
