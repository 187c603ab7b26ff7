using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>A graph that the workers serve: its queue, what its runs cost, and what it takes in.</summary>
internal sealed class GraphExecutor : IGraphExecutor, IAsyncDisposable
{
    private readonly Scheduler scheduler;
    private readonly QueueOptions options;

    /// <summary>Registers the graph with the scheduler.</summary>
    /// <param name="model">The model's id.</param>
    /// <param name="graph">What runs; its plain variant of one thread is open.</param>
    /// <param name="admission">What the model takes in.</param>
    /// <param name="scheduler">The device's scheduler.</param>
    /// <param name="costs">What runs cost, as far as it is known.</param>
    public GraphExecutor(string model, IGraph graph, Admission admission, Scheduler scheduler, RunCosts? costs = null)
    {
        Model = model;
        Graph = graph;
        Admission = admission;
        Costs = costs ?? new RunCosts();
        this.scheduler = scheduler;
        options = scheduler.Options;
        scheduler.Register(this);
    }

    /// <summary>The model's id.</summary>
    public string Model { get; }

    /// <summary>What runs.</summary>
    public IGraph Graph { get; }

    /// <summary>What is taken in.</summary>
    public Admission Admission { get; }

    /// <summary>What runs cost.</summary>
    public RunCosts Costs { get; }

    /// <summary>What steps cost.</summary>
    public StepCosts Steps { get; } = new();

    /// <summary>What waits; the scheduler's own.</summary>
    public PendingQueue Pending { get; } = new();

    /// <inheritdoc/>
    public async Task<T[]> RunAsync<T>(IReadOnlyList<GraphInput> inputs, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context)
    {
        if (inputs.Count == 0)
        {
            return [];
        }

        context.Cancellation.ThrowIfCancellationRequested();
        var set = Graph.SetOf(outputs);
        Check(inputs, outputs, set);
        var length = inputs.Sum(input => (long)input.Length);
        Admission.Admit(context, inputs.Count, length);
        try
        {
            await OpenAsync(set, context.Cancellation).ConfigureAwait(false);
        }
        catch
        {
            Admission.Leave(inputs.Count, length);
            throw;
        }

        var group = new WorkGroup<T>(inputs.Count, read, context, outputs, set, scheduler.Time.GetTimestamp());
        var items = new WorkItem[inputs.Count];
        for (var i = 0; i < items.Length; i++)
        {
            items[i] = new WorkItem(group, i, inputs[i], Graph.Constraints.Padded(inputs[i].Length));
        }

        scheduler.Enqueue(this, items);
        return await group.Task.ConfigureAwait(false);
    }

    /// <summary>Runs a step in its turn. What it belongs to was let in before: it is not refused.</summary>
    /// <exception cref="InferenceException">The run failed, took too long, or the graph is being taken out of service.</exception>
    public Task RunAsync(IGraphStep step, RequestContext context)
    {
        var group = new StepGroup(step, context, scheduler.Time.GetTimestamp());
        Admission.Continue(1, step.Tokens);
        scheduler.Enqueue(this, [new WorkItem(group, 0, new GraphInput(new int[step.Tokens]), step.Tokens)]);
        return group.Task;
    }

    /// <summary>Lets what runs end, and answers what waits with <see cref="ErrorCode.Unavailable"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        Admission.Close();
        await scheduler.UnregisterAsync(this).ConfigureAwait(false);
    }

    // Another set of outputs is opened when it is first asked for, while the workers go on.
    private async Task OpenAsync(OutputSet set, CancellationToken cancellation)
    {
        if (Graph.Opened(set, 1) is not null)
        {
            return;
        }

        try
        {
            await Graph.OpenAsync(set, 1).WaitAsync(cancellation).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new InferenceException(ErrorCode.Unavailable, $"The model is being taken out of service; try again in a moment.") { RetryAfter = TimeSpan.FromSeconds(1) };
        }
        catch (ModelLoadException e) when (e.RetryAfter is { } pause)
        {
            throw new InferenceException(ErrorCode.Unavailable, $"The files of the model cannot be read at the moment. Try again in {pause.TotalSeconds} seconds.", null, e) { RetryAfter = pause };
        }
        catch (ModelLoadException e)
        {
            throw new InferenceException(ErrorCode.Unprocessable, $"{e.Message}", null, e);
        }
    }

    private void Check(IReadOnlyList<GraphInput> inputs, IReadOnlyList<string> outputs, OutputSet set)
    {
        foreach (var output in outputs)
        {
            if (!Graph.HasOutput(output))
            {
                throw new InferenceException(ErrorCode.Internal, $"The graph has no output '{output}'.");
            }
        }

        var longest = 0;
        foreach (var input in inputs)
        {
            if (input.Length == 0)
            {
                throw InferenceException.Unprocessable(Argument.Of("Inputs"), $"The input has no tokens; send at least one.");
            }

            longest = Math.Max(longest, Graph.Constraints.Padded(input.Length));
        }

        var bytes = Graph.RunBytes(set, 1, longest);
        if (bytes > options.MaxSequenceOutputBytes)
        {
            throw new InferenceException(
                ErrorCode.TooLarge,
                $"For an input of {longest} tokens the model would hold {bytes} bytes of outputs{(set is OutputSet.Attention or OutputSet.AttentionParts ? ", the attention of all its layers among them" : "")}; the limit is {options.MaxSequenceOutputBytes}. Send a shorter input.")
            {
                Limit = nameof(QueueOptions.MaxSequenceOutputBytes),
            };
        }
    }
}
