using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.QuestionAnswering;

/// <summary>See <see cref="QuestionAnsweringRequest"/>.</summary>
public sealed class QuestionAnsweringTask : IPredictionTask
{
    /// <inheritdoc/>
    public string Name => "question-answering";

    /// <inheritdoc/>
    public Type RequestType => typeof(QuestionAnsweringRequest);

    /// <inheritdoc/>
    public bool TakesQuestions => true;

    /// <inheritdoc/>
    public bool Supports(Model model) => false;

    /// <inheritdoc/>
    public Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context) => throw new NotImplementedException();
}
