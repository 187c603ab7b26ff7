using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>A scheduler and its workers, with executors of graphs that a test made up.</summary>
internal sealed class Device : IAsyncDisposable
{
    private readonly List<GraphExecutor> executors = [];
    private readonly WorkerPool pool;

    public Device(FakeGraph? graph = null, QueueOptions? options = null, int workers = 1, int threads = 1, int batchTokens = 1024, FakeTimeProvider? time = null, long maxRunBytes = long.MaxValue)
    {
        Time = time ?? new FakeTimeProvider();
        Scheduler = new Scheduler(workers, options ?? new QueueOptions(), new BatchPlanner(options ?? new QueueOptions(), batchTokens, threads), Time, maxRunBytes: maxRunBytes);
        pool = new WorkerPool(Scheduler, NullLogger.Instance);
        Graph = graph ?? new FakeGraph();
        Executor = Add(Graph);
    }

    public FakeTimeProvider Time { get; }

    public Scheduler Scheduler { get; }

    public FakeGraph Graph { get; }

    public GraphExecutor Executor { get; }

    public GraphExecutor Add(FakeGraph graph, string model = "fake")
    {
        var executor = new GraphExecutor(model, graph, new Admission(Scheduler.Options, model, Time), Scheduler);
        executors.Add(executor);
        return executor;
    }

    /// <summary>Runs one sequence of equal ids.</summary>
    public Task<float[]> Run(int length, RequestContext? context = null, string output = "y", int id = 1) => Run(Executor, length, context, output, id);

    public static async Task<float[]> Run(GraphExecutor executor, int length, RequestContext? context = null, string output = "y", int id = 1) =>
        (await executor.RunAsync([Input(length, id)], [output], (_, row) => row[output].Data.ToArray(), context ?? new RequestContext()))[0];

    /// <summary>Runs several sequences together.</summary>
    public Task<float[][]> RunAll(IEnumerable<int> lengths, RequestContext? context = null) =>
        Executor.RunAsync([.. lengths.Select(length => Input(length, length))], ["y"], (_, row) => row["y"].Data.ToArray(), context ?? new RequestContext());

    public static GraphInput Input(int length, int id = 1) => new([.. Enumerable.Repeat(id, length)]);

    public async ValueTask DisposeAsync()
    {
        Graph.Release(10_000); // a test that failed holds nothing
        foreach (var executor in executors)
        {
            await executor.DisposeAsync();
        }

        pool.Dispose();
    }
}
