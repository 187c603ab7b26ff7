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
    private static readonly Argument DataType = Argument.Of(nameof(EmbeddingsRequest.DataType));
    private static readonly Argument PoolingOf = Argument.Of(nameof(EmbeddingsRequest.Pooling));

    private const int BytesPerNumber = 12; // in JSON, on average

    /// <inheritdoc/>
    public bool Supports(Model model) => EmbeddingPlan.IsPossible(model) || SparseVectors.ArePossible(model) || TokenVectors.AreCompared(model);

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
            return await EachTokenAsync(model, request, context);
        }

        if (request.Level == EmbeddingLevel.Sparse)
        {
            return await SparseAsync(model, request, context);
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
            (i, row) => plan.Read(row, windows[i].Skip),
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

    /// <summary>A vector as it is answered: the dimensions that were asked for, of unit length where vectors are normalised, and numbers throughout.</summary>
    internal static float[] Finish(float[] vector, int? dimensions, bool normalize, bool renormalize, Argument input)
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

    private static async Task<EmbeddingsResult> EachTokenAsync(Model model, EmbeddingsRequest request, RequestContext context)
    {
        var states = model.Capabilities.TokenStates
            ?? throw InferenceException.Unprocessable(Level, $"The model's graph gives no vectors for tokens; ask for {Level} {(SparseVectors.ArePossible(model) ? EmbeddingLevel.Sparse : EmbeddingLevel.Sequence)}.");
        var declared = TokenVectors.SizeOf(model, states);
        CheckDimensions(request.Dimensions, declared);
        var prompt = EmbeddingInput.PromptOf(model, request);
        var role = TokenVectors.RoleOf(model, request.PromptName);
        var inputs = TextInput.PrepareEach(request.Inputs, context, input => TokenVectors.Prepare(model, request, input, prompt, role, context, EmbeddingInput.Remedy));
        RequireBounded(inputs.Sum(input => (long)input.Kept.Length) * (request.Dimensions ?? declared ?? 1) * BytesPerNumber, request, $"Send fewer or shorter inputs, or lower {Dimensions}.");
        var normalize = request.Normalize ?? model.Settings.Normalize ?? TokenVectors.AreCompared(model);
        var vectors = await TokenVectors.OfAsync(model, inputs, request.Dimensions, normalize, context);
        var items = new EmbeddingItem[inputs.Length];
        for (var index = 0; index < items.Length; index++)
        {
            items[index] = new EmbeddingItem
            {
                Index = index,
                Embeddings = Array.ConvertAll(vectors[index], vector => EmbeddingVector.From(vector, request.DataType)),
                Tokens = inputs[index].Tokens,
                Offsets = inputs[index].Offsets,
                TokenCount = inputs[index].Graph.Length,
                Truncated = inputs[index].Input.Truncated,
            };
        }

        return new EmbeddingsResult(vectors.SelectMany(of => of).FirstOrDefault()?.Length ?? declared ?? 0, request.DataType, null, normalize, items);
    }

    private static async Task<EmbeddingsResult> SparseAsync(Model model, EmbeddingsRequest request, RequestContext context)
    {
        var prompt = EmbeddingInput.PromptOf(model, request);
        var inputs = TextInput.PrepareEach(request.Inputs, context, input => EmbeddingInput.Prepare(model, request, input, prompt, 0, context, EmbeddingInput.Remedy));
        var normalize = request.Normalize ?? model.Settings.Normalize ?? false;
        var vectors = await SparseVectors.OfAsync(model, inputs, normalize, context);
        RequireBounded(vectors.Sum(vector => (long)vector.Values.Length) * 3 * BytesPerNumber, request, $"Send fewer inputs.");
        return new EmbeddingsResult(vectors[0].Size, EmbeddingDataType.Float32, null, normalize, [.. vectors.Select((vector, i) => new EmbeddingItem
        {
            Index = i,
            Indices = vector.Indices,
            Values = EmbeddingVector.From(vector.Values, EmbeddingDataType.Float32),
            Tokens = [.. vector.Indices.Select(id => model.Tokenizer.IdToToken(id) ?? "")],
            TokenCount = inputs[i].TokenCount,
            Truncated = inputs[i].Truncated,
        })]);
    }

    private static void RequireBounded(long bytes, EmbeddingsRequest request, ErrorText remedy)
    {
        if (bytes > request.MaxAnswerBytes)
        {
            throw new InferenceException(ErrorCode.TooLarge, $"The answer would have about {bytes} bytes; the limit is {request.MaxAnswerBytes}. {remedy}") { Limit = nameof(request.MaxAnswerBytes) };
        }
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

        RequireLevel(model, request.Level);
        if (request is { Level: EmbeddingLevel.Sparse, Dimensions: not null })
        {
            throw InferenceException.Unprocessable(Dimensions, $"{Dimensions} is for dense vectors; a sparse one has a value for each token of the vocabulary. Leave {Dimensions} out.");
        }

        if (request is { Level: EmbeddingLevel.Sparse, DataType: not EmbeddingDataType.Float32 })
        {
            throw InferenceException.Unprocessable(DataType, $"Sparse vectors have 32-bit floats. Leave {DataType} out.");
        }

        if (request.Level != EmbeddingLevel.Sequence && request.Pooling is not null)
        {
            throw InferenceException.Unprocessable(PoolingOf, $"{PoolingOf} is for {Level} {EmbeddingLevel.Sequence}: leave it out, or ask for {Level} {EmbeddingLevel.Sequence}.");
        }

        if (request is { Level: not EmbeddingLevel.Sequence, Split: true })
        {
            throw InferenceException.Unprocessable(Split, $"{Split} is for {Level} {EmbeddingLevel.Sequence}: leave it out, or ask for {Level} {EmbeddingLevel.Sequence}.");
        }
    }

    // A folder makes vectors of one kind; those of another would be numbers that nobody trained.
    private static void RequireLevel(Model model, EmbeddingLevel level)
    {
        var (own, what) = SparseVectors.ArePossible(model) ? (EmbeddingLevel.Sparse, "sparse vectors (SpladePooling)")
            : TokenVectors.AreCompared(model) ? (EmbeddingLevel.Token, "a vector for each token (a ColBERT folder)")
            : (EmbeddingLevel.Sequence, "dense vectors");
        if (level == EmbeddingLevel.Sparse ? own != level : level == EmbeddingLevel.Sequence && own != level)
        {
            throw InferenceException.Unprocessable(Level, $"The model {model.Manifest.Id} makes {what}: ask for {Level} {own}.");
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
