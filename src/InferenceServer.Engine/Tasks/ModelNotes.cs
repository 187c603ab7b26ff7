using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.TokenClassification;

namespace InferenceServer.Engine.Tasks;

/// <summary>What had to be chosen because a folder's files are silent or disagree, told with the setting that changes it; and settings that do not fit the model.</summary>
internal static class ModelNotes
{
    /// <summary>Everything that was chosen for the tasks of a model.</summary>
    public static IEnumerable<string> Of(Model model)
    {
        var can = model.Capabilities;
        var setting = $"Models:{model.Manifest.Id}";
        if (UnknownTokens(model) is { } unknown)
        {
            yield return unknown;
        }

        if (can.Head is { Kind: HeadKind.TokenClassification } && LabelScheme.Of(model.Manifest.Config.Labels) is { Name: { } scheme })
        {
            yield return $"The labels of config.json are {scheme} tags: aggregation ends an entity where its tag says so, while the pipeline of transformers 4.57 knows B and I alone and would split such entities.";
        }

        if (can.LostHead is { } lost)
        {
            yield return $"{lost} Until then the model is served without a head.";
        }

        if (TokenVectors.AreCompared(model))
        {
            var late = model.Manifest.Sentence!.Late!;
            string[] lacking = [.. new[] { (late.QueryMark, TextRole.Query), (late.DocumentMark, TextRole.Document) }.Where(mark => mark.Item1.Length > 0 && TokenVectors.MarkOf(model, mark.Item2) is null).Select(mark => $"'{mark.Item1}'")];
            yield return "The folder is ColBERT's: it makes a vector for each token (level token) and none for the text. The prompt query or document marks a text as PyLate does; without one no mark is put."
                + (lacking.Length > 0 ? $" The tokenizer has no token {string.Join(" and none ", lacking)} (query_prefix and document_prefix of config_sentence_transformers.json), so that mark is left out." : "");
        }

        if (SparseVectors.ArePossible(model))
        {
            yield return "The folder makes sparse vectors (SpladePooling): ask for level sparse.";
        }

        if (can.Embedding is not { } plan)
        {
            yield break;
        }

        var states = can.TokenStates;
        if (model.Manifest.Sentence is null && model.Settings.Pooling is null && plan.PerToken)
        {
            yield return $"The folder says nothing of pooling (it has no modules.json and no 1_Pooling/config.json): {(plan.Modes is [PoolingMode.LastToken] ? "the vector of the last token is taken, since the model is a decoder" : "the mean over the tokens is taken")}, "
                + $"{(plan.Normalize ? "of unit length" : "not normalised")}, without prompts. Set {setting}:Pooling, {setting}:Normalize or {setting}:Prompts:{{name}} to change it.";
        }

        var own = EmbeddingPlan.OwnVector(model);
        if (own is null || states is null || model.Settings.Output is not null)
        {
            yield break;
        }

        yield return plan.PerToken
            ? $"The graph gives {states.Name} and its own vector {own.Name}: {states.Name} is pooled, as {plan.Source} says. Set {setting}:Output to {own.Name} to take that."
            : $"The graph gives {states.Name} and its own vector {own.Name}: {own.Name} is taken, since the folder has no modules.json that names every step. Set {setting}:Output to {states.Name} to pool that.";
    }

    private static string? UnknownTokens(Model model)
    {
        const int most = 5;
        if (model.Graph.TokenRows is not { } rows)
        {
            return null;
        }

        List<string> beyond = [.. Enumerable.Range(rows, Math.Max(0, model.Tokenizer.VocabularySize - rows)).Select(id => (Id: id, Token: model.Tokenizer.IdToToken(id))).Where(t => t.Token is not null).Select(t => $"{t.Token} ({t.Id})")];
        return beyond.Count == 0 ? null
            : $"The tokenizer has {beyond.Count} token{(beyond.Count == 1 ? "" : "s")} beyond the {rows} rows of the graph's table: {string.Join(", ", beyond.Take(most))}{(beyond.Count > most ? ", ..." : "")}. A text that has one is refused. Take them out of added_tokens in tokenizer.json, or export the model again with its embeddings resized.";
    }

    /// <summary>Checks what a person set against the model.</summary>
    /// <exception cref="ModelLoadException">A setting does not fit; the message names it, what fits, and the remedy.</exception>
    public static void RequireFitting(Model model)
    {
        var setting = $"Models:{model.Manifest.Id}";
        var settings = model.Settings;
        if (settings.Output is { } output && !(model.Graph.Output(output) is { } tensor && tensor.Shape?.Count is null or 2 or 3))
        {
            var fitting = model.Graph.Outputs.Where(o => o.Shape?.Count is null or 2 or 3).Select(o => o.Name);
            throw new ModelLoadException($"The setting {setting}:Output is '{output}', which is no output of vectors. The graph has {string.Join(", ", fitting)}.");
        }

        if (settings.MaxTokens < 1)
        {
            throw new ModelLoadException($"The setting {setting}:MaxTokens is {settings.MaxTokens}; it goes from 1.");
        }

        if (settings.Pooling is { } pooling)
        {
            if (Pooling.Parse(pooling) is null)
            {
                throw new ModelLoadException($"The setting {setting}:Pooling is '{pooling}'; known are {Pooling.Known}, and several joined by +.");
            }

            if (model.Capabilities.TokenStates is null)
            {
                throw new ModelLoadException($"The setting {setting}:Pooling is '{pooling}', and the graph gives no vectors for tokens (its outputs are {string.Join(", ", model.Graph.Outputs.Select(o => o.Name))}). Remove the setting.");
            }
        }

        if (settings.RerankTemplate is { } template && !(template.Contains("{query}", StringComparison.Ordinal) && template.Contains("{document}", StringComparison.Ordinal)))
        {
            throw new ModelLoadException($"The setting {setting}:RerankTemplate must have {{query}} and {{document}} where the texts go.");
        }

        if (settings.EntailmentLabel is { } label && Head.IndexOf(model, label) < 0)
        {
            throw new ModelLoadException($"The setting {setting}:EntailmentLabel is '{label}', which is no label of the model. {Head.Known(model)}");
        }
    }
}
