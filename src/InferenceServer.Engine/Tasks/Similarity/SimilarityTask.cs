using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Embeddings;

namespace InferenceServer.Engine.Tasks.Similarity;

/// <summary>
/// How alike texts are, by the similarity function that the model names (config_sentence_transformers.json, <c>similarity_fn_name</c>; cosine when it names none).
/// </summary>
public sealed class SimilarityTask : ITask<SimilarityRequest, SimilarityResult>
{
    private const int MostContributions = 2_000_000; // some 25 MB of JSON

    private static readonly Argument Source = Argument.Of(nameof(SimilarityRequest.Source));
    private static readonly Argument Sentences = Argument.Of(nameof(SimilarityRequest.Sentences));
    private static readonly Argument Explain = Argument.Of(nameof(SimilarityRequest.Explain));

    /// <inheritdoc/>
    public bool Supports(Model model) => TextComparison.IsPossible(model);

    /// <inheritdoc/>
    public string? WhyNot(Model model) => EmbeddingPlan.WhyNot(model);

    /// <summary>Compares the source with every sentence.</summary>
    /// <exception cref="InferenceException">A text cannot be served, the model cannot explain its scores, or the queue refused.</exception>
    public async Task<SimilarityResult> RunAsync(Model model, SimilarityRequest request, RequestContext context)
    {
        if (request.Sentences.Count == 0)
        {
            throw InferenceException.Unprocessable(Sentences, $"{Sentences} is empty: at least 1 text is needed.");
        }

        var function = TextComparison.FunctionOf(model);
        if (!EmbeddingPlan.IsPossible(model))
        {
            return await CompareAsync(model, request, function, context).ConfigureAwait(false);
        }

        var plan = EmbeddingPlan.Of(model, pooling: null, normalize: null);
        if (request.Explain)
        {
            RequireExplainable(plan, function);
        }

        _ = TextInput.TruncationOf(model, request.Truncate, request.TruncationDirection);
        var embeddings = new EmbeddingsRequest { Inputs = [], Truncate = request.Truncate, TruncationDirection = request.TruncationDirection };
        var prompt = EmbeddingInput.PromptOf(model, embeddings);
        var skip = plan.IncludePrompt ? 0 : EmbeddingInput.PromptTokens(model, prompt);
        TextInput[] texts = [TextInput.Of(request.Source) with { Argument = Source }, .. request.Sentences.Select((sentence, i) => TextInput.Of(sentence) with { Argument = Sentences[i] })];
        TextInput.RequireAll(texts, pairs: false, ids: false);
        var inputs = TextInput.PrepareEach(texts, context, input => EmbeddingInput.Prepare(model, embeddings, input, prompt, skip, context, TextInput.TruncateRemedy));
        if (request.Explain)
        {
            CheckSize(inputs);
        }

        var result = request.Explain
            ? await ExplainAsync(model, plan, function, inputs, context)
            : new SimilarityResult(function, await Scores(model, plan, function, inputs, context), null);
        int[] cut = [.. Enumerable.Range(0, request.Sentences.Count).Where(i => inputs[0].Truncated || inputs[i + 1].Truncated)];
        return result with { Truncated = cut.Length > 0 ? cut : null };
    }

    // Sparse vectors, or the vectors of tokens: the source is the query.
    private static async Task<SimilarityResult> CompareAsync(Model model, SimilarityRequest request, string function, RequestContext context)
    {
        if (request.Explain)
        {
            throw InferenceException.Unprocessable(Explain, $"{Explain} needs a model that compares means of token vectors; this one makes {(function == "maxsim" ? "a vector for each token" : "sparse vectors")}. Set {Explain} to false.");
        }

        _ = TextInput.TruncationOf(model, request.Truncate, request.TruncationDirection);
        var scores = await TextComparison.OfAsync(
            model, TextInput.Of(request.Source) with { Argument = Source }, [.. request.Sentences.Select((sentence, i) => TextInput.Of(sentence) with { Argument = Sentences[i] })], request.Truncate, request.TruncationDirection, context).ConfigureAwait(false);
        int[] cut = [.. Enumerable.Range(0, scores.Length).Where(i => scores[i].WasCut)];
        return new SimilarityResult(function, [.. scores.Select(score => (float)score.Score)], null) { Truncated = cut.Length > 0 ? cut : null };
    }

    /// <summary>The score of two vectors, as sentence-transformers' <c>SimilarityFunction</c> has it: distances are negative.</summary>
    internal static float Score(string function, ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        switch (function)
        {
            case "cosine":
                return TensorPrimitives.Dot(a, b) / (Math.Max(TensorPrimitives.Norm(a), 1e-12f) * Math.Max(TensorPrimitives.Norm(b), 1e-12f));
            case "dot" or "dot_score":
                return TensorPrimitives.Dot(a, b);
            case "euclidean":
                return -TensorPrimitives.Distance(a, b);
            case "manhattan":
                var sum = 0f;
                for (var i = 0; i < a.Length; i++)
                {
                    sum += Math.Abs(a[i] - b[i]);
                }

                return -sum;
            default:
                throw new InferenceException(ErrorCode.Unprocessable, $"The model names the similarity function '{function}'; known are cosine, dot, euclidean and manhattan.");
        }
    }

    private static async Task<float[]> Scores(Model model, EmbeddingPlan plan, string function, EmbeddingInput[] inputs, RequestContext context)
    {
        var vectors = await EmbeddingsTask.VectorsOf(model, plan, inputs, null, context);
        var scores = new float[vectors.Length - 1];
        for (var i = 0; i < scores.Length; i++)
        {
            scores[i] = Score(function, vectors[0], vectors[i + 1]);
        }

        return scores;
    }

    /// <summary>Refuses explanations of more than <see cref="MostContributions"/> numbers before the model runs.</summary>
    private static void CheckSize(EmbeddingInput[] inputs)
    {
        var contributions = inputs.Skip(1).Sum(input => (long)inputs[0].Encoding.Length * input.Encoding.Length);
        if (contributions > MostContributions)
        {
            throw new InferenceException(
                ErrorCode.TooLarge,
                $"The explanations would hold {contributions} numbers, one for each pair of tokens; the limit is {MostContributions}. Send fewer or shorter texts in {Sentences}, or set {Explain} to false.",
                Explain);
        }
    }

    private static void RequireExplainable(EmbeddingPlan plan, string function)
    {
        var reason = !plan.PerToken ? "its graph gives no vectors for tokens"
            : plan.Modes is not [PoolingMode.Mean] ? $"its pooling is {Pooling.Format(plan.Modes)}"
            : plan.Modules.FirstOrDefault(module => module is not NormalizeModule) is { } other ? $"it has a {(other is DenseModule ? "Dense" : "LayerNorm")} module after the pooling"
            : function is not ("cosine" or "dot" or "dot_score") ? $"its similarity function is {function}"
            : null;
        if (reason is not null)
        {
            throw InferenceException.Unprocessable(
                Explain,
                $"{Explain} needs a model that compares means of token vectors by cosine or dot product, where the contributions of token pairs add up to the score; this one does not: {reason}. Set {Explain} to false.");
        }
    }

    /// <summary>
    /// The dot product of two means is the sum over all pairs of tokens of their dot products, divided by both lengths; for cosine, or normalised vectors, also by both norms.
    /// </summary>
    private static async Task<SimilarityResult> ExplainAsync(Model model, EmbeddingPlan plan, string function, EmbeddingInput[] inputs, RequestContext context)
    {
        var states = await model.Executor.RunAsync(
            Array.ConvertAll(inputs, input => input.Windows[0].Graph),
            [plan.Output],
            (i, row) =>
            {
                var output = row[plan.Output];
                Finite.Require(output.Data[..(row.Length * output.Shape[1])], inputs[i].Argument);
                return (Tokens: output.Data[..(row.Length * output.Shape[1])].ToArray(), Size: output.Shape[1], Pooled: Pooling.Pool(output, row.Length, Math.Min(inputs[i].Windows[0].Skip, row.Length), plan.Modes));
            },
            context);
        var unit = plan.Normalize || function == "cosine";
        var scores = new float[inputs.Length - 1];
        var explanations = new SimilarityExplanation[scores.Length];
        var sourceTokens = TokensOf(inputs[0]);
        for (var i = 0; i < scores.Length; i++)
        {
            var (a, b) = (states[0], states[i + 1]);
            var (skipA, skipB) = (inputs[0].Windows[0].Skip, inputs[i + 1].Windows[0].Skip);
            var (lengthA, lengthB) = (inputs[0].Encoding.Length, inputs[i + 1].Encoding.Length);
            var scale = (double)Math.Max(1, lengthA - skipA) * Math.Max(1, lengthB - skipB);
            if (unit)
            {
                scale *= Math.Max(TensorPrimitives.Norm(a.Pooled), 1e-12) * Math.Max(TensorPrimitives.Norm(b.Pooled), 1e-12);
            }

            var contributions = new float[lengthA][];
            for (var s = 0; s < lengthA; s++)
            {
                contributions[s] = new float[lengthB];
                for (var t = s < skipA ? lengthB : skipB; t < lengthB; t++)
                {
                    contributions[s][t] = (float)(TensorPrimitives.Dot(a.Tokens.AsSpan(s * a.Size, a.Size), b.Tokens.AsSpan(t * b.Size, b.Size)) / scale);
                }
            }

            scores[i] = Score(unit ? "cosine" : function, a.Pooled, b.Pooled);
            explanations[i] = new SimilarityExplanation(sourceTokens, TokensOf(inputs[i + 1]), contributions);
        }

        return new SimilarityResult(function, scores, explanations);
    }

    private static SimilarityToken[] TokensOf(EmbeddingInput input)
    {
        var offsets = input.Offsets();
        var tokens = new SimilarityToken[offsets.Length];
        for (var i = 0; i < tokens.Length; i++)
        {
            tokens[i] = new SimilarityToken(input.Encoding.Tokens[i], offsets[i].Start, offsets[i].End);
        }

        return tokens;
    }
}
