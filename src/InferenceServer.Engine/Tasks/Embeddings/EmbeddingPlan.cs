using InferenceServer.Engine.Diagnostics;
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
    private static readonly Argument PoolingOf = Argument.Of(nameof(EmbeddingsRequest.Pooling));

    /// <summary>
    /// The output that holds a vector for each token <c>[batch, S, D]</c>: <c>last_hidden_state</c>, <c>token_embeddings</c>, or the only output of rank 3 whose last
    /// dimension is the hidden size. Null when there is none.
    /// </summary>
    public static GraphTensor? FindTokenStates(Model model, Head? head) =>
        model.Graph.Output("last_hidden_state") ?? model.Graph.Output("token_embeddings") ?? Only(model, head, 3);

    /// <summary>
    /// The output that holds a vector for the whole input <c>[batch, D]</c>: <c>sentence_embedding</c>, <c>pooler_output</c>, or the only one of rank 2. Null when
    /// there is none.
    /// </summary>
    public static GraphTensor? FindSentenceVector(Model model, Head? head) => model.Graph.Output("sentence_embedding") ?? model.Graph.Output("pooler_output") ?? Only(model, head, 2);

    /// <summary>
    /// Whether the model makes sentence vectors. The states of an encoder that was trained with a decoder are none, unless the folder says how to pool them.
    /// </summary>
    public static bool IsPossible(Model model) =>
        (!model.Manifest.Files.IsEncoderDecoder || model.Manifest.Sentence is not null) && (model.Capabilities.TokenStates ?? model.Capabilities.SentenceVector) is not null;

    /// <summary>Why the model makes none, where that is known.</summary>
    public static string? WhyNot(Model model) => model.Manifest.Files.IsEncoderDecoder && model.Manifest.Sentence is null
        ? "it is an encoder-decoder, and its folder does not say how its states become a vector: that needs modules.json and 1_Pooling/config.json"
        : null;

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

    /// <summary>Makes the plan anew; the one without overrides is in the model's capabilities.</summary>
    internal static EmbeddingPlan Make(Model model, string? pooling, bool? normalize)
    {
        var modes = pooling is null
            ? null
            : Pooling.Parse(pooling) ?? throw new InferenceException(ErrorCode.Malformed, $"{PoolingOf} is '{pooling}'; known are {Pooling.Known}, and several joined by +. Use one of them or leave it out.", PoolingOf);
        var states = model.Capabilities.TokenStates;
        var pipeline = model.Manifest.Sentence;
        var ownVector = model.Graph.Output("sentence_embedding");
        if (states is null || (modes is null && pipeline is null && ownVector is not null))
        {
            var vector = model.Capabilities.SentenceVector ?? throw new InferenceException(ErrorCode.Unprocessable, $"The model {model.Manifest.Id} gives no hidden states: its outputs are {string.Join(", ", model.Graph.Outputs.Select(output => output.Name))}.");
            return modes is not null
                ? throw InferenceException.Unprocessable(PoolingOf, $"The model's graph gives a vector for the whole input ({vector.Name}) and none for its tokens, so pooling cannot be chosen. Leave it out.")
                : new EmbeddingPlan(vector.Name, PerToken: false, [], $"graph output {vector.Name}", [], IncludePrompt: true, normalize ?? false, vector.FixedSize(1) ?? model.Manifest.Config.HiddenSize);
        }

        var module = pipeline?.Modules.OfType<PoolingModule>().FirstOrDefault();
        PoolingMode[] chosen = modes ?? (module is { Modes.Count: > 0 } ? [.. module.Modes.Order()] : [PoolingMode.Mean]);
        var source = modes is not null ? "request" : module is not null ? pipeline!.Source : "default";
        var rest = pipeline?.Modules.Where(next => next is not PoolingModule).ToList() ?? [];
        var unit = normalize ?? rest.LastOrDefault() is NormalizeModule;
        while (normalize == false && rest is [.., NormalizeModule])
        {
            rest.RemoveAt(rest.Count - 1); // one in the middle belongs to the model
        }

        var size = rest.OfType<DenseModule>().LastOrDefault()?.OutFeatures ?? (states.FixedSize(2) ?? model.Manifest.Config.HiddenSize) * chosen.Length;
        return new EmbeddingPlan(states.Name, PerToken: true, chosen, source, rest, module?.IncludePrompt ?? true, unit, size);
    }
}
