using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>Outputs made up by a test: one row, by output name.</summary>
internal sealed class FakeRows : IRowSource
{
    private readonly Dictionary<string, (float[] Data, int[] Shape)> outputs = [];

    public FakeRows Set(string output, float[] data, params int[] shape)
    {
        outputs[output] = (data, shape);
        return this;
    }

    public OutputRow Row(string output, int row) => new(outputs[output].Data, outputs[output].Shape);
}

/// <summary>A graph made up by a test: a function from a sequence to its outputs.</summary>
internal sealed class FakeExecutor(Func<GraphInput, FakeRows> graph) : IGraphExecutor
{
    private int runs;

    public int Runs => runs;

    public Task<T[]> RunAsync<T>(IReadOnlyList<GraphInput> inputs, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        Interlocked.Add(ref runs, inputs.Count);
        return Task.FromResult(inputs.Select((input, i) => read(i, new RowOutputs(graph(input), 0, input.Length))).ToArray());
    }
}
