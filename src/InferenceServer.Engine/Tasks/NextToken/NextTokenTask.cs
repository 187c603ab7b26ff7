using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.NextToken;

/// <summary>See <see cref="NextTokenRequest"/>.</summary>
public sealed class NextTokenTask : IPredictionTask
{
    /// <inheritdoc/>
    public string Name => "next-token";

    /// <inheritdoc/>
    public Type RequestType => typeof(NextTokenRequest);

    /// <inheritdoc/>
    public bool Supports(Model model) => false;

    /// <inheritdoc/>
    public Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context) => throw new NotImplementedException();
}
