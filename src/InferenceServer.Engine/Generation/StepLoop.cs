using System.Threading.Channels;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Generation;

/// <summary>Where a decoder's steps take their turn among all other work.</summary>
/// <param name="First">For runs without a past.</param>
/// <param name="Next">For runs with one.</param>
internal sealed record DecoderExecutors(GraphExecutor First, GraphExecutor Next);

/// <summary>
/// Generates with one decoder for many at once (continuous batching: Yu et al., Orca, OSDI 2022): prompts are computed one after the other, in chunks; beside them all
/// sequences that have begun take their decode steps together. Sequences join and leave between two steps. Thread-safe.
/// </summary>
/// <remarks>
/// Two loops, one of prefills and one of decode steps, whose runs take turns on the device's workers with all other work. A budget bounds the tokens that are cached: a
/// prompt begins when it fits; running sequences that outgrow the budget put the youngest back, which is computed again when there is room. Kept beginnings of prompts
/// make room first.
/// </remarks>
internal sealed class StepLoop : IAsyncDisposable
{
    private readonly Decoder decoder;
    private readonly DecoderExecutors executors;
    private readonly GenerationOptions options;
    private readonly string model;
    private readonly TimeProvider time;
    private readonly long budget;
    private readonly PrefixStore prefixes;
    private readonly Lock gate = new();
    private readonly LinkedList<RowGroup> waiting = [];
    private readonly List<DecodingBatch> joining = [];
    private readonly Signal toPrefill = new();
    private readonly Signal toDecode = new();
    private readonly RequestContext prefills = new() { Client = new object() };
    private readonly RequestContext decodes = new() { Client = new object() };
    private readonly CancellationTokenSource closing = new();
    private readonly Task loops;
    private List<DecodingBatch> running = [];
    private long prefilling; // tokens of the prompt that is being computed
    private long numbers;

    /// <summary>An idle loop.</summary>
    /// <param name="decoder">What runs.</param>
    /// <param name="executors">Where it runs.</param>
    /// <param name="options">The bounds.</param>
    /// <param name="model">The model's id, for the meters.</param>
    /// <param name="time">The clock.</param>
    public StepLoop(Decoder decoder, DecoderExecutors executors, GenerationOptions options, string model, TimeProvider time)
    {
        this.decoder = decoder;
        this.executors = executors;
        this.options = options;
        this.model = model;
        this.time = time;
        budget = options.CachedTokens(decoder.TokenBytes);
        prefixes = new PrefixStore(decoder is { HasCache: true, TakesChunks: true } ? budget / 2 : 0);
        loops = Task.WhenAll(Task.Run(PrefillAsync), Task.Run(DecodeAsync));
    }

    /// <summary>Most tokens that are cached at a time.</summary>
    public long Budget => budget;

    /// <summary>Sequences that wait or run.</summary>
    public int Count
    {
        get
        {
            lock (gate)
            {
                return waiting.Count + joining.Count + running.Sum(batch => batch.Rows) + (prefilling > 0 ? 1 : 0);
            }
        }
    }

    /// <summary>Takes a group in.</summary>
    public void Submit(RowGroup group)
    {
        lock (gate)
        {
            if (!closing.IsCancellationRequested)
            {
                group.Number = ++numbers;
                waiting.AddLast(group);
                toPrefill.Set();
                return;
            }
        }

        group.Fail(Closed());
    }

    /// <summary>Ends what runs at its next step, and answers everybody with <see cref="ErrorCode.Unavailable"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (gate)
        {
            closing.Cancel();
            toPrefill.Set();
            toDecode.Set();
        }

        await loops.ConfigureAwait(false);
        lock (gate)
        {
            foreach (var group in waiting)
            {
                group.Fail(Closed());
            }

            foreach (var batch in joining.Concat(running))
            {
                FailAll(batch, Closed());
            }

            waiting.Clear();
            joining.Clear();
            running.Clear();
            prefixes.Dispose();
        }
    }

    private async Task PrefillAsync()
    {
        while (!closing.IsCancellationRequested)
        {
            if (NextWaiting() is not { } group)
            {
                await toPrefill.WaitAsync().ConfigureAwait(false);
                continue;
            }

            try
            {
                await PrefillAsync(group).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                group.Fail(AsFailure(e));
            }
            finally
            {
                lock (gate)
                {
                    prefilling = 0;
                }
            }
        }
    }

    // The oldest that waits, when there is room for it.
    private RowGroup? NextWaiting()
    {
        lock (gate)
        {
            while (waiting.First is { } first)
            {
                var group = first.Value;
                if (IsGone(group))
                {
                    waiting.RemoveFirst();
                    continue;
                }

                var rows = running.Sum(batch => batch.Rows) + joining.Sum(batch => batch.Rows);
                if (rows > 0 && rows + group.MostRows > options.MaxSequences)
                {
                    return null;
                }

                // It will stand beside the others, padded to the longest; and all of them go on.
                var shared = Shares ? running.Concat(joining).Select(batch => batch.Cache.Length).DefaultIfEmpty().Max() : 0;
                var need = ((long)group.MostRows * Math.Max(group.Prompt.Count + 1, shared)) + rows;
                while (rows > 0 && Used + need > budget)
                {
                    if (!prefixes.Shrink())
                    {
                        return null;
                    }
                }

                waiting.RemoveFirst();
                prefilling = (long)group.MostRows * (group.Prompt.Count + 1);
                return group;
            }

            return null;
        }
    }

    private bool Shares => decoder.Padding != CachePadding.None;

    private long Used => running.Sum(batch => batch.Cache.Tokens) + joining.Sum(batch => batch.Cache.Tokens) + prefilling + prefixes.Tokens;

    private static bool IsGone(RowGroup group)
    {
        if (!group.IsDone && group.Context.Cancellation.IsCancellationRequested)
        {
            group.Fail(new OperationCanceledException(group.Context.Cancellation));
        }

        return group.IsDone;
    }

    private async Task PrefillAsync(RowGroup group)
    {
        group.Begin(time.GetTimestamp());
        int[] prompt = [.. group.Prompt];
        KvCache? cache = null;
        IReadOnlyList<(int Parent, int Token)> next = [];
        var keeps = group.Encoder is null && decoder is { HasCache: true, TakesChunks: true };
        try
        {
            if (keeps)
            {
                lock (gate)
                {
                    cache = prefixes.Find(prompt);
                }
            }

            EngineMetrics.Prefix(model, cache?.Length ?? 0);
            cache ??= new KvCache(decoder, 1, group.Encoder);
            var chunk = decoder is { HasCache: true, TakesChunks: true } ? options.PrefillTokens : int.MaxValue;
            for (var at = cache.Length; at < prompt.Length && !IsGone(group);)
            {
                var count = Math.Min(chunk, prompt.Length - at);
                var step = new PrefillStep(decoder, cache, prompt[at..(at + count)], at + count == prompt.Length ? group : null);
                await ExecutorOf(cache).RunAsync(step, prefills).ConfigureAwait(false);
                EngineMetrics.GenerationRun(model, "prefill");
                at += count;
                if (at == prompt.Length)
                {
                    next = step.Next;
                }
            }

            if (next.Count == 0)
            {
                return; // it has ended with its first token, or before
            }

            lock (gate)
            {
                if (keeps)
                {
                    prefixes.Add(prompt, cache.Share());
                }

                joining.Add(new DecodingBatch(decoder, group, cache, next));
                cache = null;
                prefilling = 0;
            }

            toDecode.Set();
        }
        finally
        {
            cache?.Dispose();
        }
    }

    private async Task DecodeAsync()
    {
        while (!closing.IsCancellationRequested)
        {
            try
            {
                if (!Settle())
                {
                    await toDecode.WaitAsync().ConfigureAwait(false);
                    continue;
                }

                var batches = running;
                var stepped = await Task.WhenAll(batches.Select(StepAsync)).ConfigureAwait(false);
                lock (gate)
                {
                    running = [.. stepped.SelectMany(after => after)];
                }
            }
            catch (Exception e)
            {
                // A defect: what runs is answered, and the next request is another chance.
                lock (gate)
                {
                    running.ForEach(batch => FailAll(batch, AsFailure(e)));
                    running = [];
                }
            }
        }
    }

    // Between two steps: who has ended or gone leaves, who is over the budget is put back, who has been prefilled joins. False when nothing runs.
    private bool Settle()
    {
        lock (gate)
        {
            var putBack = PutBack();
            var incoming = joining.ToList();
            joining.Clear();
            incoming.RemoveAll(batch => Drops(batch, putBack));
            foreach (var batch in running)
            {
                batch.Change(group => IsGone(group) || putBack.Contains(group), Companions(batch, incoming));
            }

            // Those that came together make the first batch together.
            while (incoming.Count > 0)
            {
                var first = incoming[0];
                incoming.RemoveAt(0);
                if (Companions(first, incoming) is { Count: > 0 } joins)
                {
                    first.Change(IsGone, joins);
                }

                running.Add(first);
            }

            foreach (var ended in running.Where(batch => batch.Rows == 0))
            {
                ended.Dispose();
            }

            running.RemoveAll(batch => batch.Rows == 0);
            toPrefill.Set(); // there may be room now
            return running.Count > 0;
        }
    }

    // Takes out of what comes those that can share the steps of a batch.
    private List<DecodingBatch> Companions(DecodingBatch batch, List<DecodingBatch> incoming)
    {
        var joins = new List<DecodingBatch>();
        var rows = batch.Rows;
        while (Shares && incoming.Count > 0 && batch.Cache.Encoder is null && rows + incoming[0].Rows <= options.MaxSequences)
        {
            rows += incoming[0].Rows;
            joins.Add(incoming[0]);
            incoming.RemoveAt(0);
        }

        return joins;
    }

    private static bool Drops(DecodingBatch batch, HashSet<RowGroup> putBack)
    {
        if (!batch.Groups.All(group => IsGone(group) || putBack.Contains(group)))
        {
            return false;
        }

        batch.Dispose();
        return true;
    }

    // The youngest go until the next step fits the budget; the oldest always stays.
    private HashSet<RowGroup> PutBack()
    {
        var putBack = new HashSet<RowGroup>();
        var all = running.Concat(joining).ToList();
        var groups = all.SelectMany(batch => batch.Groups).Where(group => !group.IsDone).OrderByDescending(group => group.Number).ToList();
        var over = Used + all.Sum(batch => batch.Rows) - budget;
        while (over > 0 && prefixes.Tokens is var before && prefixes.Shrink())
        {
            over -= before - prefixes.Tokens;
        }

        for (var i = 0; i < groups.Count - 1 && over > 0; i++)
        {
            if (groups[i].CanBePreempted)
            {
                putBack.Add(groups[i]);
                var batch = all.First(b => b.Groups.Contains(groups[i]));
                over -= (batch.Cache.Length + 1) * groups[i].MostRows;
                waiting.AddFirst(groups[i]);
                EngineMetrics.Preempted(model);
            }
        }

        return putBack;
    }

    // A step that fails is taken again by each group alone, so that what one of them does wrong fails that one.
    private async Task<IEnumerable<DecodingBatch>> StepAsync(DecodingBatch batch)
    {
        try
        {
            await ExecutorOf(batch.Cache).RunAsync(batch.Step(), decodes).ConfigureAwait(false);
            EngineMetrics.GenerationRun(model, "decode");
            return [batch];
        }
        catch (Exception e) when (e is not InferenceException { Code: ErrorCode.Unavailable or ErrorCode.DeadlinePassed } && batch.Groups.Skip(1).Any())
        {
            return batch.Split();
        }
        catch (Exception e)
        {
            FailAll(batch, AsFailure(e));
            return [];
        }
    }

    private static void FailAll(DecodingBatch batch, Exception failure)
    {
        foreach (var group in batch.Groups)
        {
            group.Fail(failure);
        }

        batch.Dispose();
    }

    private GraphExecutor ExecutorOf(KvCache cache) => decoder.IsFirst(cache) ? executors.First : executors.Next;

    private static Exception AsFailure(Exception e) => e as InferenceException ?? (e is OperationCanceledException ? Closed() : new InferenceException(ErrorCode.Internal, $"The model failed on this input.", null, e));

    private static InferenceException Closed() => new(ErrorCode.Unavailable, $"The model is being taken out of service; try again in a moment.") { RetryAfter = TimeSpan.FromSeconds(1) };

    // Something to look at; what is set while nobody waits is not lost.
    private sealed class Signal
    {
        private readonly Channel<bool> channel = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

        public void Set() => channel.Writer.TryWrite(true);

        public ValueTask<bool> WaitAsync() => channel.Reader.ReadAsync();
    }
}
