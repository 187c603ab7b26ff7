using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.Rerank;

/// <summary>See <see cref="RerankRequest"/>.</summary>
public sealed class RerankTask : ITask
{
    /// <inheritdoc/>
    public string Name => "rerank";

    /// <inheritdoc/>
    public bool Supports(Model model) => false;

    /// <summary>Scores every document.</summary>
    /// <exception cref="Diagnostics.InferenceException">A parameter or a document cannot be served; or the queue refused.</exception>
    public Task<RerankResult> RunAsync(Model model, RerankRequest request, RequestContext context) => throw new NotImplementedException();
}
