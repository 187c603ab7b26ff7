using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.Similarity;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Rerank;

/// <summary>
/// Documents by how well they answer a query. A cross-encoder (a sequence-classification head of one logit) reads query and
/// document together; the score is the logit's sigmoid. Any other model that has embeddings is a bi-encoder: the score is the
/// similarity that the model names of the query's vector and the document's, each with the prompt that the model has for it.
/// </summary>
public sealed class RerankTask : ITask<RerankRequest, RerankResult>
{
    private static readonly Argument Query = Argument.Of(nameof(RerankRequest.Query));
    private static readonly Argument Documents = Argument.Of(nameof(RerankRequest.Documents));
    private static readonly Argument TopN = Argument.Of(nameof(RerankRequest.TopN));

    /// <inheritdoc/>
    public bool Supports(Model model) => model.Capabilities.IsCrossEncoder || EmbeddingPlan.IsPossible(model);

    /// <inheritdoc/>
    public string? WhyNot(Model model) => EmbeddingPlan.WhyNot(model) ?? "it needs a sequence-classification head of one logit, or sentence vectors";

    /// <summary>Scores every document.</summary>
    /// <exception cref="InferenceException">A parameter or a document cannot be served; or the queue refused.</exception>
    public async Task<RerankResult> RunAsync(Model model, RerankRequest request, RequestContext context)
    {
        Parameter.AtLeast(TopN, request.TopN ?? 1, 1);
        if (string.IsNullOrEmpty(request.Query))
        {
            throw InferenceException.Unprocessable(Query, $"{Query} is empty: a text of at least 1 character is needed.");
        }

        if (request.Documents.Count == 0)
        {
            throw InferenceException.Unprocessable(Documents, $"{Documents} is empty: at least 1 document is needed.");
        }

        var truncation = TextInput.TruncationOf(model, request.Truncate, request.TruncationDirection);
        var scores = model.Capabilities.IsCrossEncoder
            ? await CrossEncodeAsync(model, request, truncation, context).ConfigureAwait(false)
            : await CompareAsync(model, request, context).ConfigureAwait(false);
        return new RerankResult([.. scores
            .Select((scored, i) => new RankedDocument(i, scored.Score, request.ReturnDocuments ? request.Documents[i] : null, scored.WasCut ? true : null))
            .OrderByDescending(document => document.Score)
            .Take(request.TopN ?? int.MaxValue)]);
    }

    private static TextInput[] DocumentsOf(RerankRequest request) =>
        [.. request.Documents.Select((document, i) => TextInput.Of(document) with { Argument = Documents[i] })];

    private static async Task<(double Score, bool WasCut)[]> CrossEncodeAsync(Model model, RerankRequest request, Truncation? truncation, RequestContext context)
    {
        TextInput[] inputs = [.. request.Documents.Select((document, i) => TextInput.Of(request.Query, document) with { Argument = Documents[i], PairArgument = Documents[i] })];
        var pairs = TextInput.PrepareEach(inputs, context, input => input.Prepare(model, context, truncation, $"shorten {Query}, which counts with it, or {TextInput.TruncateRemedy}"), fullPairs: true);
        var rows = await TextClassificationTask.LogitsAsync(model, pairs, context).ConfigureAwait(false);
        return [.. rows.Select((logits, i) => (Logits.Sigmoid(logits[0]), pairs[i].Truncated))];
    }

    private static async Task<(double Score, bool WasCut)[]> CompareAsync(Model model, RerankRequest request, RequestContext context)
    {
        var query = EmbeddingsTask.RunAsync(
            model,
            new EmbeddingsRequest
            {
                Inputs = [TextInput.Of(request.Query) with { Argument = Query }],
                PromptName = Prompt(model, "query"),
                Truncate = request.Truncate,
                TruncationDirection = request.TruncationDirection,
            },
            context,
            TextInput.TruncateRemedy);
        var documents = EmbeddingsTask.RunAsync(
            model,
            new EmbeddingsRequest
            {
                Inputs = DocumentsOf(request),
                PromptName = Prompt(model, "document", "passage", "corpus"),
                Truncate = request.Truncate,
                TruncationDirection = request.TruncationDirection,
            },
            context,
            TextInput.TruncateRemedy);
        await Task.WhenAll(query, documents).ConfigureAwait(false);

        var function = model.Manifest.Sentence?.Similarity ?? "cosine";
        var asked = (await query.ConfigureAwait(false)).Items[0];
        var vector = asked.Embedding!.ToFloats();
        return [.. (await documents.ConfigureAwait(false)).Items.Select(item => ((double)SimilarityTask.Score(function, vector, item.Embedding!.ToFloats()), asked.Truncated || item.Truncated))];
    }

    /// <summary>The first of these prompts that the model has (sentence-transformers, encode_query and encode_document).</summary>
    private static string? Prompt(Model model, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (model.Manifest.Sentence?.Prompts.ContainsKey(name) == true)
            {
                return name;
            }
        }

        return null;
    }
}
