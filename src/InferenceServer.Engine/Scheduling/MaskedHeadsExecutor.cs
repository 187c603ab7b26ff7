using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>The way to a graph some of whose heads are masked: what runs here is what runs there, under the names that <see cref="GraphInput.MaskedOutput"/> gives.</summary>
/// <param name="inner">The way to the graph.</param>
/// <param name="mask">What each head's context is multiplied with, see <see cref="GraphInput.HeadMask"/>.</param>
internal sealed class MaskedHeadsExecutor(IGraphExecutor inner, float[] mask) : IGraphExecutor
{
    /// <inheritdoc/>
    public Task<T[]> RunAsync<T>(IReadOnlyList<GraphInput> inputs, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context) => inner.RunAsync(
        [.. inputs.Select(input => input with { HeadMask = mask })], [.. outputs.Select(GraphInput.MaskedOutput)], (index, row) => read(index, row.Named(GraphInput.MaskedOutput)), context);
}
