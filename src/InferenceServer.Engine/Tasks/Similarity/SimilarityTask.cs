using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.Similarity;

/// <summary>How alike texts are.</summary>
public sealed class SimilarityTask : ITask
{
    /// <inheritdoc/>
    public string Name => "similarity";

    /// <inheritdoc/>
    public bool Supports(Model model) => true;

    /// <summary>Runs the task.</summary>
    /// <exception cref="Diagnostics.InferenceException">The request cannot be served; the message names the field, the limit and the remedy.</exception>
    public Task<SimilarityResult> RunAsync(Model model, SimilarityRequest request, RequestContext context) => throw new NotImplementedException();
}
