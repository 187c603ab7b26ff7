using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.TokenClassification;

/// <summary>See <see cref="TokenClassificationRequest"/>.</summary>
public sealed class TokenClassificationTask : IPredictionTask
{
    /// <inheritdoc/>
    public string Name => "token-classification";

    /// <inheritdoc/>
    public Type RequestType => typeof(TokenClassificationRequest);

    /// <inheritdoc/>
    public bool Supports(Model model) => false;

    /// <inheritdoc/>
    public Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context) => throw new NotImplementedException();
}
