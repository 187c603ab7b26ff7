using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tasks.Attention;
using InferenceServer.Engine.Tasks.Detokenize;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.FillMask;
using InferenceServer.Engine.Tasks.NextToken;
using InferenceServer.Engine.Tasks.Perplexity;
using InferenceServer.Engine.Tasks.QuestionAnswering;
using InferenceServer.Engine.Tasks.Rerank;
using InferenceServer.Engine.Tasks.Similarity;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tasks.TokenClassification;
using InferenceServer.Engine.Tasks.Tokenize;
using InferenceServer.Engine.Tasks.ZeroShot;

namespace InferenceServer.Engine.Tasks;

/// <summary>Every task there is, and which of them a model has.</summary>
public static class TaskCatalogue
{
    /// <summary>
    /// Every task. A model's tasks are listed in this order, and the first prediction that it supports is the one that runs
    /// when none is named: the head's own, never zero-shot.
    /// </summary>
    public static IReadOnlyList<ITask> All { get; } =
    [
        new FillMaskTask(),
        new TextClassificationTask(),
        new TokenClassificationTask(),
        new QuestionAnsweringTask(),
        new NextTokenTask(),
        new ZeroShotTask(),
        new PerplexityTask(),
        new RerankTask(),
        new EmbeddingsTask(),
        new SimilarityTask(),
        new AttentionTask(),
        new TokenizeTask(),
        new DetokenizeTask(),
    ];

    /// <summary>The tasks that a model has.</summary>
    public static IReadOnlyList<ITask> Of(Model model) => model.Capabilities.Tasks;

    /// <summary>Names of the tasks that a model has.</summary>
    public static IReadOnlyList<string> NamesOf(Model model) => [.. Of(model).Select(task => task.Name)];

    /// <summary>The prediction of that name, or the head's own when <paramref name="name"/> is null.</summary>
    /// <exception cref="InferenceException">The model lacks it; the message lists the tasks it has.</exception>
    public static IPredictionTask Prediction(Model model, string? name) =>
        All.OfType<IPredictionTask>().FirstOrDefault(task => (name is null || task.Name == name) && task.Supports(model))
            ?? throw Lacks(model, name ?? "predictions", "task");

    /// <summary>The task of that type.</summary>
    /// <exception cref="InferenceException">The model lacks it; the message lists the tasks it has.</exception>
    public static T Require<T>(Model model)
        where T : ITask
    {
        var task = All.OfType<T>().First();
        return task.Supports(model) ? task : throw Lacks(model, task.Name, "model", task.WhyNot(model));
    }

    private static InferenceException Lacks(Model model, string name, string field, string? why = null) => InferenceException.Unprocessable(
        field,
        $"The model {model.Manifest.Id} has no task {name}{(why is null ? "" : $" ({why.TrimEnd('.')})")}. It has: {string.Join(", ", NamesOf(model))}.");
}
