using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.TextClassification;

/// <summary>See <see cref="TextClassificationRequest"/>.</summary>
public sealed class TextClassificationTask : IPredictionTask
{
    /// <inheritdoc/>
    public string Name => "text-classification";

    /// <inheritdoc/>
    public Type RequestType => typeof(TextClassificationRequest);

    /// <inheritdoc/>
    public bool Supports(Model model) => false;

    /// <inheritdoc/>
    public Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context) => throw new NotImplementedException();
}
