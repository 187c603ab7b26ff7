using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tests.Scheduling;

internal static class ExecutorExtensions
{
    /// <summary>Runs one sequence.</summary>
    public static async Task<T> RunOneAsync<T>(this IGraphExecutor executor, GraphInput input, string output, Func<OutputRow, int, T> read, RequestContext? context = null) =>
        (await executor.RunAsync([input], [output], (_, row) => read(row[output], row.Length), context ?? new RequestContext(Xunit.TestContext.Current.CancellationToken)))[0];
}
