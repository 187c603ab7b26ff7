using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>How a model's output becomes a vector: which output, which pooling, which modules.</summary>
/// <param name="Output">The graph output that is read.</param>
/// <param name="PerToken">True: <c>[S, D]</c>, to be pooled; false: <c>[D]</c>, a sentence vector made by the graph.</param>
/// <param name="Modes">The pooling, in the order of concatenation; empty when the graph pools.</param>
/// <param name="Source">Where the pooling was read from.</param>
/// <param name="Modules">What follows the pooling; without Normalize when vectors are not to be normalised.</param>
/// <param name="IncludePrompt">Whether the prompt's tokens count in the pooling.</param>
/// <param name="Normalize">Whether the final vector gets unit length.</param>
/// <param name="Size">Dimensions of the final vector, where the files say them.</param>
internal sealed record EmbeddingPlan(
    string Output,
    bool PerToken,
    IReadOnlyList<PoolingMode> Modes,
    string Source,
    IReadOnlyList<SentenceModule> Modules,
    bool IncludePrompt,
    bool Normalize,
    int? Size)
{
    /// <summary>What every token's vector goes through before the pooling.</summary>
    public IReadOnlyList<DenseModule> TokenModules { get; init; } = [];

    /// <summary>Pools the token vectors of a row, or takes the graph's vector as it is.</summary>
    public float[] Read(RowOutputs row, int skip)
    {
        if (!PerToken)
        {
            return row[Output].Data.ToArray();
        }

        skip = Math.Min(skip, row.Length);
        if (TokenModules.Count == 0)
        {
            return Pooling.Pool(row[Output], row.Length, skip, Modes);
        }

        var vectors = TokenVectors.Read(row, Output, TokenModules);
        return Pooling.Pool(new OutputRow(vectors.SelectMany(vector => vector).ToArray(), [vectors.Length, vectors[0].Length]), row.Length, skip, Modes);
    }

    // Names that exporters give it.
    private static readonly string[] Pooled = ["sentence_embedding", "text_embeds", "dense_vecs"];

    private static readonly Argument PoolingOf = Argument.Of(nameof(EmbeddingsRequest.Pooling));

    /// <summary>
    /// The output that holds a vector for each token <c>[batch, S, D]</c>: <c>last_hidden_state</c>, <c>token_embeddings</c>, or the only output of rank 3 whose last
    /// dimension is the hidden size. Null when there is none.
    /// </summary>
    public static GraphTensor? FindTokenStates(Model model, Head? head) =>
        Set(model, 3) ?? model.Graph.Output("last_hidden_state") ?? model.Graph.Output("token_embeddings") ?? Only(model, head, 3);

    /// <summary>
    /// The output that holds a vector for the whole input <c>[batch, D]</c>: the graph's own (<see cref="OwnVector"/>), <c>pooler_output</c>, or the only one of rank 2.
    /// Null when there is none.
    /// </summary>
    public static GraphTensor? FindSentenceVector(Model model, Head? head) => Set(model, 2) ?? OwnVector(model) ?? model.Graph.Output("pooler_output") ?? Only(model, head, 2);

    /// <summary>The output that by its name is the vector the model was made for, already pooled: rank 2, as long as the hidden size or the projection. Null when there is none.</summary>
    public static GraphTensor? OwnVector(Model model) => Pooled
        .Select(model.Graph.Output)
        .FirstOrDefault(output => output is not null && output.Shape?.Count is null or 2 && (output.Name == Pooled[0] || IsVectorSize(model, output.FixedSize(1))));

    /// <summary>Whether tokens see only what is before them, by the graph or else by the files, so that the last one alone has seen the text.</summary>
    public static bool IsDecoder(Model model) =>
        !model.Manifest.Files.IsEncoderDecoder
        && (model.Graph.Attention.Count > 0
            ? model.Graph.Attention.All(tap => tap.Kind == AttentionKind.Decoder)
            : model.Manifest.Config.IsDecoder || model.Capabilities.Head is { Kind: HeadKind.CausalLanguageModel } || model.Graph.Inputs.Any(input => input.Name.StartsWith("past", StringComparison.Ordinal))
                || model.Manifest.Config.Architectures.Any(name => name.EndsWith("ForCausalLM", StringComparison.Ordinal)));

    /// <summary>
    /// Whether the model makes sentence vectors. The states of an encoder that was trained with a decoder are none, unless the folder says how to pool them.
    /// </summary>
    public static bool IsPossible(Model model) =>
        (!model.Manifest.Files.IsEncoderDecoder || model.Manifest.Sentence is not null || model.Settings.Pooling is not null)
        && model.Manifest.Sentence is not ({ Sparse: not null } or { Late: not null })
        && (model.Manifest.Sentence?.Unsupported is null || (model.Manifest.Sentence.Score is null && GraphPools(model)))
        && (model.Capabilities.TokenStates ?? model.Capabilities.SentenceVector) is not null;

    /// <summary>Why the model makes none, where that is known.</summary>
    public static string? WhyNot(Model model) => model.Manifest.Sentence?.Unsupported is { } unsupported ? unsupported
        : model.Manifest.Sentence?.Sparse is not null && !SparseVectors.ArePossible(model) ? "its modules.json makes sparse vectors of the logits of a masked language model, and the graph gives none. Export it with optimum-cli export onnx --task fill-mask"
        : model.Manifest.Sentence is { Sparse: not null } ? "it makes sparse vectors"
        : model.Manifest.Sentence is { Late: not null } ? TokenVectors.WhyNot(model)
        : model.Manifest.Files.IsEncoderDecoder && model.Manifest.Sentence is null
        ? $"it is an encoder-decoder, and its folder does not say how its states become a vector: that needs modules.json and 1_Pooling/config.json, or the setting Models:{model.Manifest.Id}:Pooling"
        : null;

    // The output that was set, where it has that rank.
    private static GraphTensor? Set(Model model, int rank) => model.Settings.Output is { } name && model.Graph.Output(name) is { } output && output.Shape?.Count == rank ? output : null;

    private static bool IsVectorSize(Model model, int? size) =>
        size is null || size == model.Manifest.Config.HiddenSize || size == ConfigReader.Number(model.Manifest.Config.Root, "projection_dim") || model.Manifest.Config.HiddenSize is null;

    /// <summary>The only output of that rank whose last axis has the hidden size (any size that is known, where the config names none), the head's and the encoder's own left aside.</summary>
    private static GraphTensor? Only(Model model, Head? head, int rank)
    {
        var hidden = model.Manifest.Config.HiddenSize;
        var candidates = model.Graph.Outputs
            .Where(output => output.Shape?.Count == rank && output.FixedSize(rank - 1) is { } size && (size == hidden || (rank == 2 && head is null) || (hidden is null && head is null)))
            .Where(output => output.Name != head?.Output && output.Name != head?.EndOutput && !output.Name.EndsWith("logits", StringComparison.Ordinal)
                && !output.Name.StartsWith("encoder", StringComparison.Ordinal) && !output.Name.StartsWith("present", StringComparison.Ordinal))
            .ToList();
        return candidates.Count == 1 ? candidates[0] : null;
    }

    /// <summary>What the model makes a sentence vector from, with the request's overrides.</summary>
    public static EmbeddingPlan Of(Model model, string? pooling, bool? normalize) =>
        pooling is null && normalize is null && model.Capabilities.Embedding is { } own ? own : Make(model, pooling, normalize);

    /// <summary>How a request would write it, and where it was read from.</summary>
    public PoolingChoice Choice => new(PerToken ? Pooling.Format(Modes) : PoolingChoice.Graph, Source);

    // The graph's own vector counts before states, unless modules.json says everything or a setting chooses.
    private static bool GraphPools(Model model) =>
        model.Settings.Output is { } output ? model.Graph.Output(output)?.Shape?.Count == 2
        : model.Settings.Pooling is null && model.Manifest.Sentence is not { IsComplete: true } && OwnVector(model) is not null;

    /// <summary>Makes the plan anew; the one without overrides is in the model's capabilities.</summary>
    internal static EmbeddingPlan Make(Model model, string? pooling, bool? normalize)
    {
        var modes = pooling is null
            ? null
            : Pooling.Parse(pooling) ?? throw new InferenceException(ErrorCode.Malformed, $"{PoolingOf} is '{pooling}'; known are {Pooling.Known}, and several joined by +. Use one of them or leave it out.", PoolingOf);
        var states = model.Capabilities.TokenStates;
        var pipeline = model.Manifest.Sentence;
        if (modes is not null && pipeline?.Unsupported is { } unsupported)
        {
            throw InferenceException.Unprocessable(PoolingOf, $"The model's steps behind the pooling are not there: {unsupported}. Leave {PoolingOf} out: the graph has a vector of its own.");
        }

        normalize ??= model.Settings.Normalize;
        if (states is null || (modes is null && GraphPools(model)))
        {
            var vector = model.Capabilities.SentenceVector ?? throw new InferenceException(ErrorCode.Unprocessable, $"The model {model.Manifest.Id} gives no hidden states: its outputs are {string.Join(", ", model.Graph.Outputs.Select(output => output.Name))}.");
            return modes is not null
                ? throw InferenceException.Unprocessable(PoolingOf, $"The model's graph gives a vector for the whole input ({vector.Name}) and none for its tokens, so pooling cannot be chosen. Leave it out.")
                : new EmbeddingPlan(vector.Name, PerToken: false, [], model.Settings.Output is null ? $"graph output {vector.Name}" : $"graph output {vector.Name} (setting Models:{model.Manifest.Id}:Output)", [], IncludePrompt: true, normalize ?? false, vector.FixedSize(1) ?? model.Manifest.Config.HiddenSize);
        }

        var module = pipeline?.Modules.OfType<PoolingModule>().FirstOrDefault();
        var (chosen, source) = modes is not null ? (modes, "request")
            : model.Settings.Pooling is { } set && Pooling.Parse(set) is { } parsed ? (parsed, $"setting Models:{model.Manifest.Id}:Pooling")
            : module is { Modes.Count: > 0 } ? ((PoolingMode[])[.. module.Modes], pipeline!.Source)
            : ((PoolingMode[])[IsDecoder(model) ? PoolingMode.LastToken : PoolingMode.Mean], "default (the folder names no pooling)");
        var rest = pipeline?.Modules.Where(next => next is not PoolingModule).ToList() ?? [];
        var unit = normalize ?? rest.LastOrDefault() is NormalizeModule;
        while (normalize == false && rest is [.., NormalizeModule])
        {
            rest.RemoveAt(rest.Count - 1); // one in the middle belongs to the model
        }

        var size = rest.OfType<DenseModule>().LastOrDefault()?.OutFeatures ?? TokenVectors.SizeOf(model, states) * chosen.Length;
        return new EmbeddingPlan(states.Name, PerToken: true, chosen, source, rest, module?.IncludePrompt ?? true, unit, size) { TokenModules = pipeline?.TokenModules ?? [] };
    }
}
