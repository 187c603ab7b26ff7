using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>Texts, pairs or token ids to vectors.</summary>
public sealed class EmbeddingsTask : ITask
{
    /// <inheritdoc/>
    public string Name => "embeddings";

    /// <inheritdoc/>
    public bool Supports(Model model) => true;

    /// <summary>Runs the task.</summary>
    /// <exception cref="Diagnostics.InferenceException">The request cannot be served; the message names the field, the limit and the remedy.</exception>
    public Task<EmbeddingsResult> RunAsync(Model model, EmbeddingsRequest request, RequestContext context) => throw new NotImplementedException();
}
