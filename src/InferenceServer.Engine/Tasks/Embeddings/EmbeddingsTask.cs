using System.Globalization;
using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>
/// Texts, pairs or token ids to vectors, as sentence-transformers makes them from the same folder.
/// </summary>
/// <remarks>
/// 1. The plan: which output, which pooling, which modules (<see cref="EmbeddingPlan"/>). 2. Every input is checked and tokenised before any is run. 3. Each goes
/// through the queue; its row is pooled straight from the native buffer. 4. Modules, mean of windows, dimensions, normalisation. 5. The numbers that were asked for.
/// </remarks>
public sealed class EmbeddingsTask : ITask<EmbeddingsRequest, EmbeddingsResult>
{
    private static readonly Argument Truncate = Argument.Of(nameof(EmbeddingsRequest.Truncate));
    private static readonly Argument TruncationDirection = Argument.Of(nameof(EmbeddingsRequest.TruncationDirection));
    private static readonly Argument Split = Argument.Of(nameof(EmbeddingsRequest.Split));
    private static readonly Argument Dimensions = Argument.Of(nameof(EmbeddingsRequest.Dimensions));
    private static readonly Argument Level = Argument.Of(nameof(EmbeddingsRequest.Level));
    private static readonly Argument PoolingOf = Argument.Of(nameof(EmbeddingsRequest.Pooling));

    private const int BytesPerNumber = 12; // in JSON, on average

    /// <inheritdoc/>
    public bool Supports(Model model) => EmbeddingPlan.IsPossible(model);

    /// <inheritdoc/>
    public string? WhyNot(Model model) => EmbeddingPlan.WhyNot(model);

    /// <summary>Makes the vectors, in the order of the inputs.</summary>
    /// <exception cref="InferenceException">An option or an input cannot be served, or the queue refused.</exception>
    public Task<EmbeddingsResult> RunAsync(Model model, EmbeddingsRequest request, RequestContext context) => RunAsync(model, request, context, EmbeddingInput.Remedy);

    /// <summary>Makes the vectors for another task, whose clients have another <paramref name="remedy"/> for texts that are too long, or none.</summary>
    internal static async Task<EmbeddingsResult> RunAsync(Model model, EmbeddingsRequest request, RequestContext context, ErrorText? remedy)
    {
        Validate(model, request);
        if (request.Level == EmbeddingLevel.Token)
        {
            return await TokenVectors(model, request, context);
        }

        var plan = EmbeddingPlan.Of(model, request.Pooling, request.Normalize);
        CheckDimensions(request.Dimensions, plan.Size);
        var prompt = EmbeddingInput.PromptOf(model, request);
        var skip = plan.IncludePrompt ? 0 : EmbeddingInput.PromptTokens(model, prompt);
        var inputs = TextInput.PrepareEach(request.Inputs, context, input => EmbeddingInput.Prepare(model, request, input, prompt, skip, context, remedy));
        var vectors = await VectorsOf(model, plan, inputs, request.Dimensions, context);

        var items = new EmbeddingItem[inputs.Length];
        for (var i = 0; i < items.Length; i++)
        {
            items[i] = new EmbeddingItem
            {
                Index = i,
                Embedding = EmbeddingVector.From(vectors[i], request.DataType),
                TokenCount = inputs[i].TokenCount,
                Truncated = inputs[i].Truncated,
                Windows = inputs[i].Windows.Count,
            };
        }

        return new EmbeddingsResult(vectors[0].Length, request.DataType, plan.Choice, plan.Normalize, items);
    }

    /// <summary>The final vector <c>[D]</c> of each input, with 32-bit floats.</summary>
    internal static async Task<float[][]> VectorsOf(Model model, EmbeddingPlan plan, IReadOnlyList<EmbeddingInput> inputs, int? dimensions, RequestContext context)
    {
        List<EmbeddingInput.Window> windows = [.. inputs.SelectMany(input => input.Windows)];
        var pooled = await model.Executor.RunAsync(
            [.. windows.Select(window => window.Graph)],
            [plan.Output],
            (i, row) => plan.PerToken ? Pooling.Pool(row[plan.Output], row.Length, Math.Min(windows[i].Skip, row.Length), plan.Modes) : row[plan.Output].Data.ToArray(),
            context);
        var vectors = new float[inputs.Count][];
        var next = 0;
        for (var i = 0; i < vectors.Length; i++)
        {
            vectors[i] = Joined(plan, inputs[i], pooled.AsSpan(next, inputs[i].Windows.Count), dimensions);
            next += inputs[i].Windows.Count;
        }

        return vectors;
    }

    // The vectors of an input's windows, averaged by their lengths.
    private static float[] Joined(EmbeddingPlan plan, EmbeddingInput input, Span<float[]> pooled, int? dimensions)
    {
        for (var w = 0; w < pooled.Length; w++)
        {
            foreach (var module in plan.Modules)
            {
                pooled[w] = SentenceModules.Apply(module, pooled[w]);
            }
        }

        var vector = pooled[0];
        if (pooled.Length > 1)
        {
            vector = new float[pooled[0].Length];
            var total = (float)input.Windows.Sum(window => window.Weight);
            for (var w = 0; w < pooled.Length; w++)
            {
                TensorPrimitives.MultiplyAdd(pooled[w], input.Windows[w].Weight / total, vector, vector);
            }
        }

        return Finish(vector, dimensions, plan.Normalize, renormalize: pooled.Length > 1 || plan.Modules is not [.., NormalizeModule], input.Argument);
    }

    private static float[] Finish(float[] vector, int? dimensions, bool normalize, bool renormalize, Argument input)
    {
        CheckDimensions(dimensions, vector.Length);
        if (dimensions is { } kept && kept < vector.Length)
        {
            vector = vector[..kept];
            renormalize = true;
        }

        if (normalize && renormalize)
        {
            SentenceModules.Normalize(vector);
        }

        Finite.Require(vector, input);
        return vector;
    }

    private static async Task<EmbeddingsResult> TokenVectors(Model model, EmbeddingsRequest request, RequestContext context)
    {
        var states = model.Capabilities.TokenStates
            ?? throw InferenceException.Unprocessable(Level, $"The model's graph gives no vectors for tokens; ask for {Level} {EmbeddingLevel.Sequence}.");
        var declared = states.FixedSize(2) ?? model.Manifest.Config.HiddenSize;
        CheckDimensions(request.Dimensions, declared);
        var prompt = EmbeddingInput.PromptOf(model, request);
        var inputs = TextInput.PrepareEach(request.Inputs, context, input => EmbeddingInput.Prepare(model, request, input, prompt, 0, context, EmbeddingInput.Remedy));
        var bytes = inputs.Sum(input => (long)input.TokenCount) * (request.Dimensions ?? declared ?? 1) * BytesPerNumber;
        if (bytes > request.MaxAnswerBytes)
        {
            throw new InferenceException(
                ErrorCode.TooLarge,
                $"The answer would have about {bytes} bytes; the limit is {request.MaxAnswerBytes}. Send fewer or shorter inputs, or lower {Dimensions}.")
            {
                Limit = nameof(request.MaxAnswerBytes),
            };
        }

        var normalize = request.Normalize ?? model.Settings.Normalize ?? false;
        var kept = await model.Executor.RunAsync(
            Array.ConvertAll(inputs, input => input.Windows[0].Graph),
            [states.Name],
            (_, row) =>
            {
                var output = row[states.Name];
                var vectors = new float[row.Length][];
                for (var i = 0; i < vectors.Length; i++)
                {
                    var vector = output.At(i);
                    CheckDimensions(request.Dimensions, vector.Length);
                    vectors[i] = vector[..(request.Dimensions ?? vector.Length)].ToArray();
                }

                return vectors;
            },
            context);
        var size = 0;
        var items = new EmbeddingItem[inputs.Length];
        for (var index = 0; index < items.Length; index++)
        {
            var input = inputs[index];
            items[index] = new EmbeddingItem
            {
                Index = index,
                Embeddings = Array.ConvertAll(kept[index], vector =>
                {
                    var final = Finish(vector, request.Dimensions, normalize, renormalize: true, input.Argument);
                    size = final.Length;
                    return EmbeddingVector.From(final, request.DataType);
                }),
                Tokens = input.Encoding.Tokens,
                Offsets = input.Offsets(),
                TokenCount = input.TokenCount,
                Truncated = input.Truncated,
            };
        }

        return new EmbeddingsResult(size, request.DataType, null, normalize, items);
    }

    private static void Validate(Model model, EmbeddingsRequest request)
    {
        TextInput.RequireAll(request.Inputs, pairs: true, ids: true);
        if (request is { Truncate: true, Split: true })
        {
            throw InferenceException.Unprocessable(Split, $"{Truncate} and {Split} exclude each other: set one of them to false.");
        }

        if (request is { TruncationDirection: not null, Truncate: false })
        {
            throw InferenceException.Unprocessable(TruncationDirection, $"{TruncationDirection} is for truncation: set {Truncate} to true or leave {TruncationDirection} out.");
        }

        if (request.Level == EmbeddingLevel.Token && request.Pooling is not null)
        {
            throw InferenceException.Unprocessable(PoolingOf, $"{PoolingOf} is for {Level} {EmbeddingLevel.Sequence}: leave it out, or ask for {Level} {EmbeddingLevel.Sequence}.");
        }

        if (request is { Level: EmbeddingLevel.Token, Split: true })
        {
            throw InferenceException.Unprocessable(Split, $"{Split} is for {Level} {EmbeddingLevel.Sequence}: leave it out, or ask for {Level} {EmbeddingLevel.Sequence}.");
        }
    }

    private static void CheckDimensions(int? dimensions, int? size)
    {
        if (dimensions is { } asked && (asked < 1 || asked > (size ?? int.MaxValue)))
        {
            throw InferenceException.Unprocessable(Dimensions, $"{Dimensions} is {asked}; it goes from 1 to {size?.ToString(CultureInfo.InvariantCulture) ?? "the model's own number"}. Send such a value, or leave it out.");
        }
    }
}
