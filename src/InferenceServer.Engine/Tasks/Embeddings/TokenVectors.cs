using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>What a text is for a model of ColBERT's kind; a request chooses by the prompt's name.</summary>
internal enum TextRole
{
    /// <summary>A text without a mark: every token counts.</summary>
    Plain,

    /// <summary>A query: marked, and filled up with mask tokens.</summary>
    Query,

    /// <summary>A document: marked, without the tokens of the skip list.</summary>
    Document,
}

/// <summary>An input for token vectors.</summary>
/// <param name="Input">The input as it was tokenised.</param>
/// <param name="Graph">What is run: with mark and expansion.</param>
/// <param name="Kept">The positions whose vectors count.</param>
/// <param name="Tokens">The tokens at these positions.</param>
/// <param name="Offsets">Where they stand in the text, in code points; (0, 0) for what was added.</param>
internal sealed record TokenVectorInput(EmbeddingInput Input, GraphInput Graph, int[] Kept, IReadOnlyList<string> Tokens, IReadOnlyList<(int Start, int End)> Offsets);

/// <summary>
/// A vector for each token: the graph's states through the Dense modules that stand before any pooling. In a ColBERT folder they get unit length, and queries and
/// documents are marked, expanded and masked as PyLate 1.2 does it (<see cref="LateInteraction"/>).
/// </summary>
internal static class TokenVectors
{
    private const string QueryName = "query";
    private const string DocumentName = "document";

    /// <summary>Whether the model's texts are compared token by token.</summary>
    public static bool AreCompared(Model model) => model.Manifest.Sentence is { Late: { } late, Unsupported: null } && model.Capabilities.TokenStates is { } states
        && (late.Size is null || SizeOf(model, states) is null || SizeOf(model, states) == late.Size);

    /// <summary>Why the model of a ColBERT folder makes no vectors, as a part of a sentence.</summary>
    public static string WhyNot(Model model) => model.Capabilities.TokenStates is not { } states ? "it makes a vector for each token, and its graph gives no states of the tokens"
        : AreCompared(model) ? "it makes a vector for each token, and none for the text"
        : $"its tokens' vectors have {model.Manifest.Sentence!.Late!.Size} dimensions (dim of artifact.metadata) and the graph's states have {SizeOf(model, states)}: the projection, linear.weight of model.safetensors, is missing. Put that file into the folder";

    /// <summary>Dimensions of a token's vector, where the files say them.</summary>
    public static int? SizeOf(Model model, GraphTensor states) =>
        model.Manifest.Sentence?.TokenModules is [.., { OutFeatures: var size }] ? size : states.FixedSize(2) ?? model.Manifest.Config.HiddenSize;

    /// <summary>The role that the name of a prompt means for the model.</summary>
    public static TextRole RoleOf(Model model, string? promptName) => !AreCompared(model) ? TextRole.Plain : promptName switch
    {
        QueryName => TextRole.Query,
        DocumentName => TextRole.Document,
        _ => TextRole.Plain,
    };

    /// <summary>The id that marks a role's texts; null where the folder names none, or the tokenizer has no such token.</summary>
    public static int? MarkOf(Model model, TextRole role) =>
        model.Manifest.Sentence?.Late is { } late && (role == TextRole.Query ? late.QueryMark : late.DocumentMark) is { Length: > 0 } mark ? model.Tokenizer.TokenToId(mark) : null;

    /// <summary>Checks and tokenises an input in a role.</summary>
    /// <exception cref="InferenceException">It cannot be served in that role.</exception>
    public static TokenVectorInput Prepare(Model model, EmbeddingsRequest request, TextInput input, string prompt, TextRole role, RequestContext context, ErrorText? remedy)
    {
        if (role == TextRole.Plain)
        {
            var plain = EmbeddingInput.Prepare(model, request, input, prompt, 0, context, remedy);
            return new TokenVectorInput(plain, plain.Windows[0].Graph, [.. Enumerable.Range(0, plain.Encoding.Length)], plain.Encoding.Tokens, plain.Offsets());
        }

        var late = model.Manifest.Sentence!.Late!;
        var mark = MarkOf(model, role);
        var length = (role == TextRole.Query ? late.QueryLength : late.DocumentLength) - (mark is null ? 0 : 1);
        var limited = length >= model.MaxTokens ? model
            : model with { MaxTokens = length, MaxTokensSource = $"{(role == TextRole.Query ? "query_length" : "document_length")} of config_sentence_transformers.json{(mark is null ? "" : ", less its mark")}" };
        var prepared = EmbeddingInput.Prepare(limited, request, input, prompt, 0, context, remedy);
        List<int> ids = [.. prepared.Encoding.Ids];
        List<int> types = [.. prepared.Encoding.TypeIds];
        List<string> tokens = [.. prepared.Encoding.Tokens];
        List<(int, int)> offsets = [.. prepared.Offsets()];
        var attended = ids.Count;
        if (role == TextRole.Query && late.ExpandsQueries)
        {
            var filler = model.Tokenizer.Named.Mask ?? model.Tokenizer.Named.Eos ?? model.Tokenizer.Named.Pad
                ?? throw InferenceException.Unprocessable(input.Argument, $"A query of this model is filled up with mask tokens, and its tokenizer has neither those nor an end or a padding token. Send {input.Argument} as a document.");
            while (ids.Count < Math.Min(length, model.MaxTokens))
            {
                Insert(ids.Count, filler.Id, filler.Text);
            }
        }

        if (mark is { } id)
        {
            attended++;
            Insert(Math.Min(1, ids.Count), id, model.Tokenizer.IdToToken(id) ?? "");
        }

        context.AddTokens(ids.Count - prepared.Encoding.Length);
        var isMasked = attended < ids.Count && !late.AttendsToExpansion;
        if (isMasked && model.Graph.Inputs.All(i => i.Name != "attention_mask"))
        {
            throw InferenceException.Unprocessable(input.Argument, $"A query of this model is filled up with tokens that the others do not see, and its graph takes no attention_mask. Send {input.Argument} as a document, or export the model again.");
        }

        var skipped = role == TextRole.Document ? SkippedIds(model, late) : [];
        int[] kept = [.. Enumerable.Range(0, ids.Count).Where(i => !skipped.Contains(ids[i]))];
        return new TokenVectorInput(prepared, new GraphInput([.. ids], [.. types]) { Attended = isMasked ? attended : null }, kept, [.. kept.Select(i => tokens[i])], [.. kept.Select(i => offsets[i])]);

        void Insert(int at, int token, string text)
        {
            ids.Insert(at, token);
            types.Insert(at, 0);
            tokens.Insert(at, text);
            offsets.Insert(at, (0, 0));
        }
    }

    /// <summary>The vectors <c>[kept tokens][D]</c> of each input.</summary>
    /// <exception cref="InferenceException">A value is no number, or the queue refused.</exception>
    public static Task<float[][][]> OfAsync(Model model, IReadOnlyList<TokenVectorInput> inputs, int? dimensions, bool normalize, RequestContext context)
    {
        var states = model.Capabilities.TokenStates!.Name;
        var modules = model.Manifest.Sentence?.TokenModules ?? [];
        return model.Executor.RunAsync(
            [.. inputs.Select(input => input.Graph)],
            [states],
            (i, row) =>
            {
                var all = Read(row, states, modules);
                return Array.ConvertAll(inputs[i].Kept, at => EmbeddingsTask.Finish(all[at], dimensions, normalize, renormalize: true, inputs[i].Input.Argument));
            },
            context);
    }

    /// <summary>The vectors of all tokens of a row.</summary>
    public static float[][] Read(RowOutputs row, string output, IReadOnlyList<DenseModule> modules)
    {
        var states = row[output];
        var vectors = new float[row.Length][];
        for (var i = 0; i < vectors.Length; i++)
        {
            vectors[i] = states.At(i).ToArray();
            foreach (var module in modules)
            {
                vectors[i] = SentenceModules.Apply(module, vectors[i]);
            }
        }

        return vectors;
    }

    /// <summary>MaxSim: for each token of the query the most similar one of the document, by dot product, summed. https://arxiv.org/abs/2004.12832</summary>
    public static double MaxSim(float[][] query, float[][] document)
    {
        var sum = 0.0;
        foreach (var vector in query)
        {
            var most = document.Length == 0 ? 0 : float.NegativeInfinity;
            foreach (var other in document)
            {
                most = Math.Max(most, TensorPrimitives.Dot<float>(vector, other));
            }

            sum += most;
        }

        return sum;
    }

    /// <summary>The MaxSim of a query with each document, and whether something was cut off of either.</summary>
    /// <exception cref="InferenceException">A text cannot be served, or the queue refused.</exception>
    public static async Task<(double Score, bool WasCut)[]> CompareAsync(Model model, EmbeddingsRequest request, TextInput query, IReadOnlyList<TextInput> documents, RequestContext context)
    {
        var inputs = TextInput.PrepareEach(
            [query, .. documents],
            context,
            input => Prepare(model, request, input, PromptOf(model, ReferenceEquals(input, query) ? QueryName : DocumentName), ReferenceEquals(input, query) ? TextRole.Query : TextRole.Document, context, TextInput.TruncateRemedy));
        var vectors = await OfAsync(model, inputs, null, normalize: true, context).ConfigureAwait(false);
        return [.. vectors.Skip(1).Select((document, i) => (MaxSim(vectors[0], document), inputs[0].Input.Truncated || inputs[i + 1].Input.Truncated))];
    }

    private static string PromptOf(Model model, string name) => model.Capabilities.Prompts.GetValueOrDefault(name) ?? "";

    // A word that is no token stands for the unknown one, as the reference looks it up.
    private static HashSet<int> SkippedIds(Model model, LateInteraction late) =>
        [.. late.SkippedWords.Select(word => model.Tokenizer.TokenToId(word) ?? model.Tokenizer.Named.Unk?.Id).OfType<int>()];
}
