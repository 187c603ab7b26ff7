using System.Diagnostics.CodeAnalysis;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// Decides what a device runs next: the only owner of what waits. Free workers ask for the best next batch; nobody pushes. Thread-safe.
/// </summary>
/// <remarks>
/// A batch is chosen in these steps: (1) the model with the least share of the workers; (2) in it the request that would be answered first if all clients shared the
/// workers equally, of one client's requests the one with the earliest deadline, then the oldest; (3) what waits with the same outputs and comes next is sorted by
/// length and cut where the predicted total is least; (4) the batch around the chosen request's shortest sequence runs, on one thread while there are as many batches as free workers, else on the threads of the free workers, if that ends sooner.
/// </remarks>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "A semaphore whose wait handle is not used holds nothing.")]
internal sealed class Scheduler
{
    private readonly Lock gate = new();
    private readonly List<GraphExecutor> executors = [];
    private readonly FairShare<GraphExecutor> models = new();
    private readonly List<Batch> running = [];
    private readonly TimeSpan companionWait;
    private readonly long maxRunBytes;
    private Companions companions; // who was just answered and may be back in a moment
    private readonly SemaphoreSlim work = new(0); // one for each look that a worker should take
    private readonly BatchPlanner planner;
    private int busy; // workers that run, or whose threads another one's batch uses
    private long lastActive;
    private bool stopped;

    /// <summary>An empty scheduler.</summary>
    /// <param name="workers">Batches that run at once.</param>
    /// <param name="options">What is taken in, and what a batch may be.</param>
    /// <param name="planner">Chooses rows and threads.</param>
    /// <param name="time">The clock.</param>
    /// <param name="maxRunBytes">Most bytes of large runs at a time, see <see cref="QueueOptions.MaxRunBytes"/>.</param>
    /// <param name="companionWait">How long clients that were answered together are waited for, see <see cref="Companions"/>.</param>
    public Scheduler(int workers, QueueOptions options, BatchPlanner planner, TimeProvider? time = null, TimeSpan companionWait = default, long maxRunBytes = long.MaxValue)
    {
        this.maxRunBytes = maxRunBytes;
        this.companionWait = companionWait;
        Workers = workers;
        Options = options;
        this.planner = planner;
        Time = time ?? TimeProvider.System;
        lastActive = Time.GetTimestamp();
    }

    /// <summary>Batches that run at once.</summary>
    public int Workers { get; }

    /// <summary>What is taken in, and what a batch may be.</summary>
    public QueueOptions Options { get; }

    /// <summary>The clock.</summary>
    public TimeProvider Time { get; }

    /// <summary>How long nothing has run; zero while something runs.</summary>
    public TimeSpan Idle
    {
        get
        {
            lock (gate)
            {
                return running.Count > 0 || models.Waiting.Count > 0 ? TimeSpan.Zero : Time.GetElapsedTime(lastActive);
            }
        }
    }

    /// <summary>Takes in a graph.</summary>
    public void Register(GraphExecutor executor)
    {
        lock (gate)
        {
            executors.Add(executor);
        }
    }

    /// <summary>Answers what waits at a graph, lets what runs end, and forgets the graph.</summary>
    public async Task UnregisterAsync(GraphExecutor executor)
    {
        IReadOnlyList<(WorkGroup Group, int Count, long Tokens)> waiting;
        lock (gate)
        {
            waiting = executor.Pending.RemoveAll();
            models.Leave(executor);
            executors.Remove(executor);
        }

        var closed = new InferenceException(ErrorCode.Unavailable, $"The model is being taken out of service; try again in a moment.") { RetryAfter = TimeSpan.FromSeconds(1) };
        foreach (var (group, count, tokens) in waiting)
        {
            executor.Admission.Leave(count, tokens);
            group.Fail(closed);
        }

        Task[] ends;
        lock (gate)
        {
            var own = running.Where(batch => batch.Executor == executor).ToList();
            own.ForEach(batch => batch.StopIfAbandoned()); // nobody waits for a measurement
            ends = [.. own.Select(batch => batch.Ended)];
        }

        await Task.WhenAll(ends).ConfigureAwait(false);
    }

    /// <summary>Takes in the sequences of one group.</summary>
    public void Enqueue(GraphExecutor executor, IReadOnlyList<WorkItem> items)
    {
        var group = items[0].Group;
        int looks;
        lock (gate)
        {
            if (stopped || !executors.Contains(executor))
            {
                executor.Admission.Leave(items.Count, items.Sum(item => (long)item.Input.Length));
                group.Fail(new InferenceException(ErrorCode.Unavailable, $"The model is being taken out of service; try again in a moment.") { RetryAfter = TimeSpan.FromSeconds(1) });
                return;
            }

            executor.Pending.Add(items);
            models.Enter(executor);
            looks = Math.Min(items.Count, Workers - busy);
        }

        group.WatchCancellation(Gone);
        if (looks > 0)
        {
            work.Release(looks);
        }

        void Gone(WorkGroup who) => Drop(executor, who);
    }

    /// <summary>
    /// Waits until there may be something to run, at most so many milliseconds (-1: without end), less while companions are waited for; false when the scheduler has
    /// stopped, or that time is over.
    /// </summary>
    public bool Wait(int milliseconds)
    {
        int? left;
        lock (gate)
        {
            left = models.Waiting.Count > 0 && companions.Rows > 0 ? (int)Math.Max(0, Math.Ceiling((companionWait - Time.GetElapsedTime(companions.Ended)).TotalMilliseconds)) : null;
        }

        if (left is not { } moment)
        {
            return work.Wait(milliseconds) && !Volatile.Read(ref stopped);
        }

        work.Wait(moment); // what waits is looked at again, whether anybody came or not
        return !Volatile.Read(ref stopped);
    }

    /// <summary>True when the scheduler has stopped.</summary>
    public bool IsStopped => Volatile.Read(ref stopped);

    /// <summary>Stops every run, whoever waits for it.</summary>
    public void Terminate()
    {
        lock (gate)
        {
            running.ForEach(batch => batch.Stop());
        }
    }

    /// <summary>Lets every waiting worker go.</summary>
    public void Stop()
    {
        Volatile.Write(ref stopped, true);
        work.Release(Workers);
    }

    /// <summary>The best next batch for a free worker, or null when nothing waits or no worker is free. A defect of the packing is thrown once what waits there has been answered.</summary>
    public Batch? Take()
    {
        lock (gate)
        {
            HashSet<GraphExecutor>? held = null; // whose next run waits for memory
            while (Workers - busy is > 0 and var free && models.Next(executor => executor.Pending.NextEnqueued, held) is { } executor)
            {
                if (executor.Pending.Next() is not { } next)
                {
                    models.Leave(executor);
                    continue;
                }

                if (MustWait(executor, next, held is not null))
                {
                    // Large runs go one after the other in their turn; what is small goes on beside them.
                    if (executor.Pending.Next(item => MustWait(executor, item, anyLarge: true)) is not { } small)
                    {
                        (held ??= []).Add(executor);
                        continue;
                    }

                    next = small;
                }

                if (next.Group.IsDone)
                {
                    Remove(executor, next.Group);
                    continue;
                }

                if (executor.Pending.Count < companions.Rows && Time.GetElapsedTime(companions.Ended) < companionWait)
                {
                    return null;
                }

                companions = default;

                try
                {
                    return Pack(executor, next, free);
                }
                catch (Exception e)
                {
                    Fail(executor, e); // a defect: what waits is answered, and the next request is another chance
                    throw;
                }
            }

            return null;
        }
    }

    /// <summary>Whether a graph is served.</summary>
    public bool Serves(GraphExecutor executor)
    {
        lock (gate)
        {
            return executors.Contains(executor);
        }
    }

    /// <summary>An empty batch for a measurement, when nothing waits or runs, and nothing has for <paramref name="quiet"/>; else null.</summary>
    public Batch? TakeIdle(GraphExecutor executor, OutputSet outputs, int threads, TimeSpan quiet)
    {
        lock (gate)
        {
            if (running.Count > 0 || models.Waiting.Count > 0 || Time.GetElapsedTime(lastActive) < quiet || !executors.Contains(executor) || executor.Graph.Opened(outputs, threads) is not { } variant)
            {
                return null;
            }

            var batch = new Batch(executor, [], variant, threads, 0);
            running.Add(batch);
            busy += threads;
            return batch;
        }
    }

    /// <summary>A batch has ended.</summary>
    public void Ended(Batch batch)
    {
        lock (gate)
        {
            running.Remove(batch);
            busy -= batch.Threads;
            if (batch.Items.Count > 0)
            {
                lastActive = Time.GetTimestamp();
                companions = batch.Items.Count > 1 ? new Companions(batch.Items.Count, lastActive) : companions;
            }

            if (models.Waiting.Count > 0 && batch.Threads > 1)
            {
                work.Release(batch.Threads - 1); // the worker itself looks again by itself
            }
        }

        batch.End();
    }

    private bool IsLarge(long bytes) => bytes > maxRunBytes / 8;

    // Whether a sequence's own run is large and does not fit beside the large ones that run, or another large one waits whose turn comes first.
    private bool MustWait(GraphExecutor executor, WorkItem item, bool anyLarge)
    {
        var bytes = executor.Graph.PeakBytes(item.Group.Set, 1, item.PaddedLength);
        if (!IsLarge(bytes))
        {
            return false;
        }

        var running = this.running.Where(batch => IsLarge(batch.Bytes)).Sum(batch => batch.Bytes);
        return running > 0 && (anyLarge || running + bytes > maxRunBytes);
    }

    private Batch Pack(GraphExecutor executor, WorkItem next, int free)
    {
        var set = next.Group.Set;
        var (rows, index) = executor.Pending.Around(next);
        Span<int> lengths = stackalloc int[rows.Count];
        for (var i = 0; i < rows.Count; i++)
        {
            lengths[i] = rows[i].PaddedLength;
        }

        var others = models.Waiting.Count - 1;
        var idle = running.Count > 0 ? TimeSpan.Zero : Time.GetElapsedTime(lastActive);
        var step = (next.Group as StepGroup)?.Step;
        var shared = Math.Max(1, free - others);
        var plan = step is not null ? planner.PlanStep(executor, step.Tokens, shared) : planner.Plan(executor, set, lengths, index, shared, idle, executor.Pending.IsMixed(Time));
        var items = new WorkItem[plan.To - plan.From];
        for (var i = 0; i < items.Length; i++)
        {
            items[i] = rows[plan.From + i];
        }

        var bytes = executor.Graph.PeakBytes(set, items.Length, items[^1].PaddedLength);
        if (IsLarge(bytes) && items.Length > 1)
        {
            items = [next]; // alone it was found to fit
            bytes = executor.Graph.PeakBytes(set, 1, next.PaddedLength);
        }

        bytes += 2 * (step?.Bytes ?? 0); // as it goes in and as it comes out
        var batch = new Batch(executor, items, executor.Graph.Opened(set, plan.Threads)!, plan.Threads, plan.Cost, bytes);
        models.Choose(executor);
        models.Charge(executor, plan.Cost * plan.Threads);
        executor.Admission.Leave(items.Length, executor.Pending.Take(items));
        if (executor.Pending.Count == 0)
        {
            models.Leave(executor);
        }

        running.Add(batch);
        busy += plan.Threads;
        if (models.Waiting.Count > 0 && busy < Workers)
        {
            work.Release();
        }

        return batch;
    }

    private void Fail(GraphExecutor executor, Exception defect)
    {
        models.Leave(executor);
        foreach (var (group, count, tokens) in executor.Pending.RemoveAll())
        {
            executor.Admission.Leave(count, tokens);
            group.Fail(new InferenceException(ErrorCode.Internal, $"The scheduler failed on what waited.", null, defect));
        }
    }

    private void Drop(GraphExecutor executor, WorkGroup group)
    {
        lock (gate)
        {
            Remove(executor, group);
            foreach (var batch in running)
            {
                batch.StopIfAbandoned();
            }
        }
    }

    private void Remove(GraphExecutor executor, WorkGroup group)
    {
        var (count, tokens) = executor.Pending.Remove(group);
        executor.Admission.Leave(count, tokens);
        if (executor.Pending.Count == 0)
        {
            models.Leave(executor);
        }
    }

    /// <summary>
    /// Clients whose sequences ran together in a batch that has just ended: many of them ask again within a moment, and running the first of them alone would cost a
    /// whole run. So for a moment after a batch of several rows a worker waits until about as many are there; a lone request, or one after a pause, never waits.
    /// </summary>
    /// <param name="Rows">Rows of the batch.</param>
    /// <param name="Ended">When it ended.</param>
    private readonly record struct Companions(int Rows, long Ended);
}
