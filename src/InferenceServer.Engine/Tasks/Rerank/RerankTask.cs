using System.Text;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.Similarity;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Rerank;

/// <summary>
/// Documents by how well they answer a query. A cross-encoder (a sequence-classification head of one logit) reads query and
/// document together; the score is what the activation that its folder names makes of the logit, else its sigmoid. Any other model that has embeddings is a bi-encoder: the score is the
/// similarity that the model names of the query's vector and the document's, each with the prompt that the model has for it. A decoder with one label reads them
/// in the text that it was trained with, which is set for the model.
/// </summary>
public sealed class RerankTask : ITask<RerankRequest, RerankResult>
{
    private const string QueryPlace = "{query}";
    private const string DocumentPlace = "{document}";
    private static readonly Argument Query = Argument.Of(nameof(RerankRequest.Query));
    private static readonly Argument Documents = Argument.Of(nameof(RerankRequest.Documents));
    private static readonly Argument TopN = Argument.Of(nameof(RerankRequest.TopN));

    /// <inheritdoc/>
    public bool Supports(Model model) => Refusal(model) is null && (model.Capabilities.IsCrossEncoder || EmbeddingPlan.IsPossible(model));

    /// <inheritdoc/>
    public string? WhyNot(Model model) => Refusal(model) ?? EmbeddingPlan.WhyNot(model) ?? "it needs a sequence-classification head of one logit, or sentence vectors";

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

    // The body of a classifier was not trained to give vectors, and a decoder not to read two texts behind each other.
    private static string? Refusal(Model model) =>
        model.Capabilities is { LostHead: { } lost } && model.Manifest.Config.Architectures.Any(static name => name.EndsWith("ForSequenceClassification", StringComparison.Ordinal)) ? lost
        : model.Capabilities.IsCrossEncoder && model.Manifest.ScoreActivation is { } activation && SentenceModules.Activation(activation.Name) is null
            ? $"{activation.Source} is {activation.Name}, which is not supported: Identity, Sigmoid, Tanh, ReLU, GELU and SiLU are"
        : model.Capabilities.IsCrossEncoder && model.Settings.RerankTemplate is null && EmbeddingPlan.IsDecoder(model)
            ? $"it is a decoder with one label, which reads query and document in a prompt of its own that its folder does not say: set it as Models:{model.Manifest.Id}:RerankTemplate, with {{query}} and {{document}} where they go"
        : null;

    // One pass over the template, so that a query with a placeholder in it stays as it is.
    private static string Filled(string template, string query, string document)
    {
        var text = new StringBuilder();
        for (var i = 0; i < template.Length; i++)
        {
            var rest = template.AsSpan(i);
            if (rest.StartsWith(QueryPlace))
            {
                text.Append(query);
                i += QueryPlace.Length - 1;
            }
            else if (rest.StartsWith(DocumentPlace))
            {
                text.Append(document);
                i += DocumentPlace.Length - 1;
            }
            else
            {
                text.Append(template[i]);
            }
        }

        return text.ToString();
    }

    private static TextInput[] DocumentsOf(RerankRequest request) =>
        [.. request.Documents.Select((document, i) => TextInput.Of(document) with { Argument = Documents[i] })];

    private static async Task<(double Score, bool WasCut)[]> CrossEncodeAsync(Model model, RerankRequest request, Truncation? truncation, RequestContext context)
    {
        var template = model.Settings.RerankTemplate;
        TextInput[] inputs = [.. request.Documents.Select((document, i) => (template is null ? TextInput.Of(request.Query, document) : TextInput.Of(Filled(template, request.Query, document))) with { Argument = Documents[i], PairArgument = Documents[i] })];
        var pairs = TextInput.PrepareEach(inputs, context, input => input.Prepare(model, context, truncation, $"shorten {Query}, which counts with it, or {TextInput.TruncateRemedy}"), fullPairs: template is null);
        var rows = await TextClassificationTask.LogitsAsync(model, pairs, context).ConfigureAwait(false);
        Func<float, double> score = request.RawScores ? static logit => logit
            : model.Manifest.ScoreActivation is null or { Name: "Sigmoid" } ? Logits.Sigmoid
            : logit => SentenceModules.Activation(model.Manifest.ScoreActivation!.Value.Name)!(logit);
        return [.. rows.Select((logits, i) => (score(logits[0]), pairs[i].Truncated))];
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
            if (model.Capabilities.Prompts.ContainsKey(name))
            {
                return name;
            }
        }

        return null;
    }
}
