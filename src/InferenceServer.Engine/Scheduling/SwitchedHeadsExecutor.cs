using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>The way to a graph some of whose heads are switched off: what runs here is what runs there, under the names that <see cref="GraphInput.SwitchedOutput"/> gives.</summary>
/// <param name="inner">The way to the graph.</param>
/// <param name="switches">What each head's context is multiplied with, see <see cref="GraphInput.HeadSwitches"/>.</param>
internal sealed class SwitchedHeadsExecutor(IGraphExecutor inner, float[] switches) : IGraphExecutor
{
    /// <inheritdoc/>
    public Task<T[]> RunAsync<T>(IReadOnlyList<GraphInput> inputs, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context) => inner.RunAsync(
        [.. inputs.Select(input => input with { HeadSwitches = switches })], [.. outputs.Select(GraphInput.SwitchedOutput)], (index, row) => read(index, row.Named(GraphInput.SwitchedOutput)), context);
}
