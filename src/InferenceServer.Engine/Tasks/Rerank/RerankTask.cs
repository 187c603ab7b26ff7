using System.Text;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.NextToken;
using InferenceServer.Engine.Tasks.Similarity;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Rerank;

/// <summary>
/// Documents by how well they answer a query. A cross-encoder (a sequence-classification head of one logit) reads query and
/// document together; the score is what the activation that its folder names makes of the logit, else its sigmoid. Any other model that has embeddings is a bi-encoder: the score is the
/// similarity that the model names of the query's vector and the document's (dense, sparse, or those of the tokens), each with the prompt that the model has for it. A
/// decoder with one label, or whose folder has a LogitScore, reads them in the text that it was trained with, which is set for the model.
/// </summary>
public sealed class RerankTask : ITask<RerankRequest, RerankResult>
{
    private const string QueryPlace = "{query}";
    private const string DocumentPlace = "{document}";
    private static readonly Argument Query = Argument.Of(nameof(RerankRequest.Query));
    private static readonly Argument Documents = Argument.Of(nameof(RerankRequest.Documents));
    private static readonly Argument TopN = Argument.Of(nameof(RerankRequest.TopN));

    /// <inheritdoc/>
    public bool Supports(Model model) => Refusal(model) is null && (ReadsPairs(model) || TextComparison.IsPossible(model));

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
        var scores = ReadsPairs(model)
            ? await CrossEncodeAsync(model, request, truncation, context).ConfigureAwait(false)
            : await TextComparison.OfAsync(model, TextInput.Of(request.Query) with { Argument = Query }, DocumentsOf(request), request.Truncate, request.TruncationDirection, context).ConfigureAwait(false);
        return new RerankResult([.. scores
            .Select((scored, i) => new RankedDocument(i, scored.Score, request.ReturnDocuments ? request.Documents[i] : null, scored.WasCut ? true : null))
            .OrderByDescending(document => document.Score)
            .Take(request.TopN ?? int.MaxValue)]);
    }

    private static LogitScore? ScoreOf(Model model) => model.Capabilities.Head is { Kind: HeadKind.CausalLanguageModel } ? model.Manifest.Sentence?.Score : null;

    private static bool ReadsPairs(Model model) => model.Capabilities.IsCrossEncoder || ScoreOf(model) is not null;

    // The body of a classifier was not trained to give vectors, and a decoder not to read two texts behind each other.
    private static string? Refusal(Model model) =>
        model.Capabilities is { LostHead: { } lost } && model.Manifest.Config.Architectures.Any(static name => name.EndsWith("ForSequenceClassification", StringComparison.Ordinal)) ? lost
        : ReadsPairs(model) && model.Manifest.ScoreActivation is { } activation && SentenceModules.Activation(activation.Name) is null
            ? $"{activation.Source} is {activation.Name}, which is not supported: Identity, Sigmoid, Tanh, ReLU, GELU and SiLU are"
        : model.Manifest.Sentence?.Score is not null && ScoreOf(model) is null
            ? "its modules.json has a LogitScore, and the graph gives no logits of a next token. Export it with optimum-cli export onnx --task text-generation"
        : ScoreOf(model) is { } score && model.Graph.TokenRows is { } rows && Math.Max(score.TrueTokenId, score.FalseTokenId ?? 0) >= rows
            ? $"its LogitScore names the token ids {score.TrueTokenId} and {score.FalseTokenId}, and the graph knows those from 0 to {rows - 1}"
        : ReadsPairs(model) && model.Settings.RerankTemplate is null && EmbeddingPlan.IsDecoder(model)
            ? $"it is a decoder {(ScoreOf(model) is null ? "with one label" : "with a LogitScore")}, which reads query and document in a prompt of its own that its folder does not say: set it as Models:{model.Manifest.Id}:RerankTemplate, with {{query}} and {{document}} where they go"
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
        context.RequireCharacters(((long)request.Query.Length * request.Documents.Count) + request.Documents.Sum(static document => (long)document.Length)); // before the template is filled with them
        TextInput[] inputs = [.. request.Documents.Select((document, i) => (template is null ? TextInput.Of(request.Query, document) : TextInput.Of(Filled(template, request.Query, document))) with { Argument = Documents[i], PairArgument = Documents[i] })];
        var pairs = TextInput.PrepareEach(inputs, context, input => input.Prepare(model, context, truncation, $"shorten {Query}, which counts with it, or {TextInput.TruncateRemedy}"), fullPairs: template is null);
        var rows = ScoreOf(model) is { } tokens
            ? await NextTokenTask.LogitsAsync(model, pairs, logits => [logits[tokens.TrueTokenId] - (tokens.FalseTokenId is { } no ? logits[no] : 0)], context).ConfigureAwait(false)
            : await TextClassificationTask.LogitsAsync(model, pairs, context).ConfigureAwait(false);
        Func<float, double> score = request.RawScores ? static logit => logit
            : model.Manifest.ScoreActivation is null or { Name: "Sigmoid" } ? Logits.Sigmoid
            : logit => SentenceModules.Activation(model.Manifest.ScoreActivation!.Value.Name)!(logit);
        return [.. rows.Select((logits, i) => (score(logits[0]), pairs[i].Truncated))];
    }
}
