using InferenceServer.Engine.Batching;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>Attention probabilities of one sequence.</summary>
public sealed class AttentionTask : ITask
{
    /// <inheritdoc/>
    public string Name => "attention";

    /// <inheritdoc/>
    public bool Supports(Model model) => model.Graph.Attention.Count > 0;

    /// <summary>Runs the task.</summary>
    /// <exception cref="Diagnostics.InferenceException">The request cannot be served; the message names the field, the limit and the remedy.</exception>
    public Task<AttentionResult> RunAsync(Model model, AttentionRequest request, RequestContext context) => throw new NotImplementedException();
}
