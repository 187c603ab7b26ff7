using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.ZeroShot;

/// <summary>See <see cref="ZeroShotRequest"/>.</summary>
public sealed class ZeroShotTask : IPredictionTask
{
    /// <inheritdoc/>
    public string Name => "zero-shot";

    /// <inheritdoc/>
    public Type RequestType => typeof(ZeroShotRequest);

    /// <inheritdoc/>
    public bool Supports(Model model) => false;

    /// <inheritdoc/>
    public Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context) => throw new NotImplementedException();
}
