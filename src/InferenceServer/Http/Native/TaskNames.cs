using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tasks;
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
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary>What the tasks are called on the wire, and the task that a request names.</summary>
internal static class TaskNames
{
    private static readonly Dictionary<Type, string> Names = new()
    {
        [typeof(FillMaskTask)] = "fill-mask",
        [typeof(TextClassificationTask)] = "text-classification",
        [typeof(TokenClassificationTask)] = "token-classification",
        [typeof(QuestionAnsweringTask)] = "question-answering",
        [typeof(NextTokenTask)] = "next-token",
        [typeof(GenerateTask)] = "generation",
        [typeof(ZeroShotTask)] = "zero-shot",
        [typeof(PerplexityTask)] = "perplexity",
        [typeof(RerankTask)] = "rerank",
        [typeof(EmbeddingsTask)] = "embeddings",
        [typeof(SimilarityTask)] = "similarity",
        [typeof(AttentionTask)] = "attention",
        [typeof(TokenizeTask)] = "tokenize",
        [typeof(DetokenizeTask)] = "detokenize",
    };

    /// <summary>The name of a task.</summary>
    public static string Of(ITask task) => Names[task.GetType()];

    /// <summary>Names of the tasks that a model has.</summary>
    public static IReadOnlyList<string> Of(Model model) => [.. TaskCatalogue.Of(model).Select(Of)];

    /// <summary>The task of that type.</summary>
    /// <exception cref="RequestException">The model lacks it; the message lists the tasks it has.</exception>
    public static T Require<T>(Model model)
        where T : ITask
    {
        var task = TaskCatalogue.Get<T>();
        return task.Supports(model) ? task : throw Lacks(model, Of(task), null, task.WhyNot(model));
    }

    /// <summary>The prediction of that name, or the head's own when <paramref name="name"/> is null.</summary>
    /// <exception cref="RequestException">The model lacks it; the message lists the tasks it has.</exception>
    public static IPredictionTask Prediction(Model model, string? name) =>
        (name is null ? TaskCatalogue.Prediction(model) : TaskCatalogue.Of(model).OfType<IPredictionTask>().FirstOrDefault(task => Of(task) == name))
            ?? throw Lacks(model, name ?? "predictions", "task");

    /// <summary>A model lacks a task; the message lists the tasks it has.</summary>
    internal static RequestException Lacks(Model model, string name, string? field, string? why = null) => new(
        ErrorCode.Unprocessable,
        $"The model {model.Manifest.Id} has no task {(name.Length > 100 ? name[..100] + "..." : name)}{(why is null ? "" : $" ({why.TrimEnd('.')})")}. It has: {string.Join(", ", Of(model))}.",
        field);
}
