using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.FillMask;

/// <summary>See <see cref="FillMaskRequest"/>.</summary>
public sealed class FillMaskTask : IPredictionTask
{
    /// <inheritdoc/>
    public string Name => "fill-mask";

    /// <inheritdoc/>
    public Type RequestType => typeof(FillMaskRequest);

    /// <inheritdoc/>
    public bool Supports(Model model) => false;

    /// <inheritdoc/>
    public Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context) => throw new NotImplementedException();
}
