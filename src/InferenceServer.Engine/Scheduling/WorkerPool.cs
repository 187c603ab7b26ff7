using System.Diagnostics;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine.Scheduling;

/// <summary>The workers of a device: threads that ask the scheduler for a batch, run it, answer each sequence from its row, and ask again.</summary>
/// <remarks>
/// A batch that fails runs again row by row, so that one bad input fails alone. A worker that throws answers its sequences and goes on. When everybody who waits for a
/// running batch has gone, the run is terminated. Nothing here may end the process.
/// </remarks>
internal sealed partial class WorkerPool : IDisposable
{
    private readonly Scheduler scheduler;
    private readonly Calibration? calibration;
    private readonly IdleMemory memory;
    private readonly ILogger logger;
    private readonly TimeProvider time;
    private readonly TimeSpan? runTimeout;
    private readonly Thread[] threads;

    /// <summary>Starts the workers.</summary>
    /// <param name="scheduler">What they ask.</param>
    /// <param name="logger">The log.</param>
    /// <param name="calibration">What they do when nothing waits.</param>
    /// <param name="runTimeout">How long a batch may run; null: without end.</param>
    public WorkerPool(Scheduler scheduler, ILogger logger, Calibration? calibration = null, TimeSpan? runTimeout = null)
    {
        this.runTimeout = runTimeout;
        this.scheduler = scheduler;
        this.calibration = calibration;
        this.logger = logger;
        time = scheduler.Time;
        memory = new IdleMemory(scheduler);
        threads = new Thread[scheduler.Workers];
        EngineMetrics.Workers(threads.Length);
        for (var i = 0; i < threads.Length; i++)
        {
            threads[i] = new Thread(Work) { IsBackground = true, Name = $"worker {i}" };
            threads[i].Start();
        }
    }

    /// <summary>Ends the workers when what they run has ended. Every graph was unregistered before.</summary>
    public void Dispose() => Stop(Timeout.InfiniteTimeSpan);

    /// <summary>The same, but waits no longer than that for all of them; false when one is still at work: as a background thread it does not keep the process.</summary>
    public bool Stop(TimeSpan patience)
    {
        scheduler.Stop();
        var started = Stopwatch.GetTimestamp();
        var ended = Array.TrueForAll(threads, t => t.Join(patience == Timeout.InfiniteTimeSpan ? patience : TimeSpan.FromTicks(Math.Max(0, (patience - Stopwatch.GetElapsedTime(started)).Ticks))));
        EngineMetrics.Workers(-threads.Length);
        return ended;
    }

    private void Work()
    {
        while (!scheduler.IsStopped)
        {
            Batch? batch = null;
            try
            {
                batch = scheduler.Take();
            }
            catch (Exception e)
            {
                LogSchedulerFailed(logger, e); // a defect: without this no model would ever answer again
            }

            if (batch is not null)
            {
                Process(batch);
            }
            else if (!scheduler.Wait(Soonest(memory.MillisecondsToNext(), calibration?.MillisecondsToNext() ?? Timeout.Infinite)) && !scheduler.IsStopped)
            {
                UseIdleTime();
            }
        }
    }

    private static int Soonest(int one, int other) => one < 0 ? other : other < 0 ? one : Math.Min(one, other);

    private void UseIdleTime()
    {
        try
        {
            if (!memory.Step() && calibration?.Step() is { } done)
            {
                LogMeasured(logger, done.Model, done.Threads, done.Cost.A, done.Cost.B, done.Cost.C);
            }
        }
        catch (Exception e)
        {
            LogSchedulerFailed(logger, e);
        }
    }

    private void Process(Batch batch)
    {
        var started = time.GetTimestamp();
        using var overdue = batch.StopAfter(runTimeout, time);
        try
        {
            var tokens = Run(batch, [.. batch.Items.Where(item => !item.Group.IsDone)]);
            var elapsed = time.GetElapsedTime(started);
            if (tokens > 0 && elapsed > TimeSpan.Zero)
            {
                batch.Executor.Admission.Measured(tokens / elapsed.TotalSeconds * scheduler.Workers / batch.Threads);
            }
        }
        catch (Exception e)
        {
            LogWorkerFailed(logger, e, batch.Executor.Model);
            foreach (var item in batch.Items)
            {
                item.Group.Fail(FailureOf(e));
            }
        }
        finally
        {
            memory.Ran(batch);
            EngineMetrics.Ran(batch.Executor.Model, time.GetElapsedTime(started), batch.Threads);
            scheduler.Ended(batch);
        }
    }

    // Returns how many tokens were computed.
    private int Run(Batch batch, WorkItem[] items)
    {
        if (items.Length == 0)
        {
            return 0;
        }

        var model = batch.Executor.Model;
        try
        {
            var started = time.GetTimestamp();
            if (items[0].Group is StepGroup group)
            {
                return Run(batch, group, started);
            }

            using var outputs = batch.Variant.Run(Array.ConvertAll(items, item => item.Input), OutputsOf(items), batch.Terminated);
            var ran = time.GetElapsedTime(started);
            var tokens = 0;
            for (var row = 0; row < items.Length; row++)
            {
                var item = items[row];
                tokens += item.Input.Length;
                if (!item.Group.IsDone)
                {
                    var waited = time.GetElapsedTime(item.Group.Enqueued, started);
                    item.Group.Context.AddRun(waited, ran, items.Length);
                    EngineMetrics.Waited(model, waited);
                    item.Group.Read(item.Index, new RowOutputs(outputs, row, item.Input.Length));
                }
            }

            EngineMetrics.Batch(model, items.Length, tokens, items.Length * items[^1].PaddedLength, ran);
            return tokens;
        }
        catch (OperationCanceledException) when (batch.Terminated.IsCancellationRequested)
        {
            if (batch.IsOverdue)
            {
                LogOverdue(logger, model, items.Length, runTimeout!.Value.TotalSeconds);
            }
            else
            {
                LogTerminated(logger, model, items.Length);
            }

            var why = batch.IsOverdue
                ? new InferenceException(ErrorCode.DeadlinePassed, $"The model ran longer on this input than a run may take, {runTimeout!.Value.TotalSeconds} seconds. Send a shorter input.") { Limit = nameof(ExecutionOptions.RunTimeoutSeconds) }
                : new InferenceException(ErrorCode.Unavailable, $"The server stopped the run, since it ends.");
            foreach (var item in items)
            {
                item.Group.Fail(why); // no effect on one that nobody waits for any more
            }

            return 0;
        }
        catch (Exception e) when (items.Length > 1)
        {
            LogBatchFailed(logger, e, model, items.Length);
            return items.Where(item => !item.Group.IsDone).Sum(item => Run(batch, [item]));
        }
        catch (Exception e)
        {
            if (e is not InferenceException { Code: not ErrorCode.Internal } || NativeMessage.IsOutOfMemory(e.InnerException ?? e))
            {
                LogRunFailed(logger, e, model, items[0].Input.Length);
            }

            items[0].Group.Fail(FailureOf(e));
            return items[0].Input.Length;
        }
    }

    private int Run(Batch batch, StepGroup group, long started)
    {
        group.Step.Run(batch.Variant, batch.Terminated);
        var ran = time.GetElapsedTime(started);
        batch.Executor.Steps.Measured(group.Step.Tokens, batch.Threads, ran.TotalMilliseconds);
        EngineMetrics.Batch(batch.Executor.Model, group.Step.Rows, group.Step.Tokens, group.Step.Tokens, ran);
        group.Complete();
        return group.Step.Tokens;
    }

    private static InferenceException FailureOf(Exception e) =>
        e as InferenceException ?? (NativeMessage.IsOutOfMemory(e) ? NativeMessage.OutOfMemory(e) : new InferenceException(ErrorCode.Internal, $"The model failed on this input.", null, e));

    private static IReadOnlyList<string> OutputsOf(WorkItem[] items)
    {
        var first = items[0].Group.Outputs;
        return Array.TrueForAll(items, item => ReferenceEquals(item.Group.Outputs, first) || item.Group.Outputs.SequenceEqual(first))
            ? first
            : [.. items.SelectMany(item => item.Group.Outputs).Distinct()];
    }
}
