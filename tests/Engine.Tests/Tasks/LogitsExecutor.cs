using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>A graph whose outputs a test makes up: <c>(sequence, output) -> (values, shape)</c>, padded by two positions as in a batch.</summary>
internal sealed class LogitsExecutor(Func<GraphInput, string, (float[] Data, int[] Shape)> outputs) : IGraphExecutor
{
    public int Runs { get; private set; }

    /// <summary>A graph that gives <paramref name="width"/> logits a token, which depend on the token's id and its position alone.</summary>
    public static LogitsExecutor PerToken(int width, Func<int, int, float[]> logits) => new((input, _) =>
    {
        var rows = input.InputIds.SelectMany((id, position) => logits(id, position)).Concat(Enumerable.Repeat(1000f, 2 * width));
        return ([.. rows], [input.InputIds.Length + 2, width]);
    });

    /// <summary>A graph that gives logits of the whole sequence.</summary>
    public static LogitsExecutor PerSequence(Func<int[], float[]> logits) => new((input, _) => (logits(input.InputIds), [logits(input.InputIds).Length]));

    public Task<T[]> RunAsync<T>(IReadOnlyList<GraphInput> inputs, IReadOnlyList<string> asked, RowReader<T> read, RequestContext context)
    {
        Runs += inputs.Count;
        return Task.FromResult(inputs.Select((input, i) =>
            read(i, new RowOutputs(new Source(name => asked.Contains(name) ? outputs(input, name) : throw new InvalidOperationException(name)), 0, input.Length))).ToArray());
    }

    private sealed class Source(Func<string, (float[] Data, int[] Shape)> outputs) : IRowSource
    {
        public OutputRow Row(string output, int row)
        {
            var (data, shape) = outputs(output);
            return new OutputRow(data, shape);
        }
    }
}
