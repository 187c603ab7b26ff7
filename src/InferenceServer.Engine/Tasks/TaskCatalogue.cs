using InferenceServer.Engine.Tasks.Attention;
using InferenceServer.Engine.Tasks.Detokenize;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.FillMask;
using InferenceServer.Engine.Tasks.Generate;
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
        new GenerateTask(),
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

    /// <summary>The prediction that runs when none is named: the head's own; null when the model has none.</summary>
    public static IPredictionTask? Prediction(Model model) => All.OfType<IPredictionTask>().FirstOrDefault(task => task.Supports(model));

    /// <summary>The one task of that type.</summary>
    public static T Get<T>()
        where T : ITask => All.OfType<T>().First();
}
