using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Similarity;

/// <summary>How well documents answer a query by the vectors of a model, of whatever kind it makes: dense ones, sparse ones, or those of the tokens.</summary>
internal static class TextComparison
{
    /// <summary>Whether the model makes vectors that can be compared.</summary>
    public static bool IsPossible(Model model) => EmbeddingPlan.IsPossible(model) || SparseVectors.ArePossible(model) || TokenVectors.AreCompared(model);

    /// <summary>The name of the similarity function.</summary>
    public static string FunctionOf(Model model) => model.Manifest.Sentence?.SimilarityOrDefault ?? "cosine";

    /// <summary>The score of each document, and whether something was cut off of it or of the query.</summary>
    /// <param name="model">The model.</param>
    /// <param name="query">The query.</param>
    /// <param name="documents">The documents.</param>
    /// <param name="truncate">Whether texts that are too long are cut.</param>
    /// <param name="direction">The side at which tokens are cut off; null: as the tokenizer's files say.</param>
    /// <param name="context">The request.</param>
    /// <exception cref="Diagnostics.InferenceException">A text cannot be served, or the queue refused.</exception>
    public static async Task<(double Score, bool WasCut)[]> OfAsync(Model model, TextInput query, IReadOnlyList<TextInput> documents, bool truncate, Side? direction, RequestContext context)
    {
        var request = new EmbeddingsRequest { Inputs = [], Truncate = truncate, TruncationDirection = direction };
        if (TokenVectors.AreCompared(model))
        {
            return await TokenVectors.CompareAsync(model, request, query, documents, context).ConfigureAwait(false);
        }

        var function = FunctionOf(model);
        var asked = request with { Inputs = [query], PromptName = Prompt(model, "query") };
        var compared = request with { Inputs = documents, PromptName = Prompt(model, "document", "passage", "corpus") };
        if (SparseVectors.ArePossible(model))
        {
            TextInput[] texts = [query, .. documents];
            var inputs = TextInput.PrepareEach(texts, context, input =>
            {
                var own = ReferenceEquals(input, query) ? asked : compared;
                return EmbeddingInput.Prepare(model, own, input, EmbeddingInput.PromptOf(model, own), 0, context, TextInput.TruncateRemedy);
            });
            var sparse = await SparseVectors.OfAsync(model, inputs, model.Settings.Normalize ?? false, context).ConfigureAwait(false);
            return [.. sparse.Skip(1).Select((vector, i) => (SparseVector.Score(function, sparse[0], vector), inputs[0].Truncated || inputs[i + 1].Truncated))];
        }

        var first = EmbeddingsTask.RunAsync(model, asked, context, TextInput.TruncateRemedy);
        var others = EmbeddingsTask.RunAsync(model, compared, context, TextInput.TruncateRemedy);
        await Task.WhenAll(first, others).ConfigureAwait(false);
        var item = (await first.ConfigureAwait(false)).Items[0];
        var floats = item.Embedding!.ToFloats();
        return [.. (await others.ConfigureAwait(false)).Items.Select(other => ((double)SimilarityTask.Score(function, floats, other.Embedding!.ToFloats()), item.Truncated || other.Truncated))];
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
