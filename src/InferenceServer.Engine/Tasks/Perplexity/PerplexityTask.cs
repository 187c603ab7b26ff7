using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.Perplexity;

/// <summary>See <see cref="PerplexityRequest"/>.</summary>
public sealed class PerplexityTask : IPredictionTask
{
    /// <inheritdoc/>
    public string Name => "perplexity";

    /// <inheritdoc/>
    public Type RequestType => typeof(PerplexityRequest);

    /// <inheritdoc/>
    public bool Supports(Model model) => false;

    /// <inheritdoc/>
    public Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context) => throw new NotImplementedException();
}
