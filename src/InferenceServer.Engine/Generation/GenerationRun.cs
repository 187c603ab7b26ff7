using System.Runtime.CompilerServices;
using System.Text;
using System.Threading.Channels;
using InferenceServer.Engine.Generation.Sampling;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Generation;

/// <summary>The generation of one request on its way: its tokens as they come, and its choices at the end. Read by one reader, once.</summary>
public sealed class GenerationRun
{
    private readonly Channel<GenerationEvent> events = Channel.CreateUnbounded<GenerationEvent>(new UnboundedChannelOptions { SingleReader = true });
    private readonly List<GenerationChoice> finished = [];
    private readonly Func<long> started;
    private readonly Action ended;
    private readonly TimeProvider time;
    private readonly long submitted;
    private readonly Lock gate = new();
    private readonly bool keepsLogProbs;
    private int remaining;
    private int generated;
    private long first;
    private long last;

    internal GenerationRun(RequestContext context, int choices, int promptTokens, bool keepsLogProbs, TimeProvider time, Func<long> started, Action ended)
    {
        Context = context;
        PromptTokens = promptTokens;
        this.keepsLogProbs = keepsLogProbs;
        this.time = time;
        this.started = started;
        this.ended = ended;
        remaining = choices;
        submitted = time.GetTimestamp();
    }

    /// <summary>Tokens of the prompt, special tokens included.</summary>
    public int PromptTokens { get; }

    /// <summary>Tokens that were generated, of all choices together; of beams those of the choices.</summary>
    public int GeneratedTokens => Volatile.Read(ref generated);

    /// <summary>How long it took until now.</summary>
    public GenerationTimings Timings
    {
        get
        {
            var began = started();
            return began == 0 ? new GenerationTimings(time.GetElapsedTime(submitted), default, default)
                : first == 0 ? new GenerationTimings(time.GetElapsedTime(submitted, began), time.GetElapsedTime(began), default)
                : new GenerationTimings(time.GetElapsedTime(submitted, began), time.GetElapsedTime(began, first), time.GetElapsedTime(first, last));
        }
    }

    /// <summary>The request.</summary>
    internal RequestContext Context { get; }

    /// <summary>The tokens as they come; ends with the last choice. Beams give none.</summary>
    /// <exception cref="Diagnostics.InferenceException">The model failed, or is being taken out of service.</exception>
    /// <exception cref="OperationCanceledException">The request was cancelled.</exception>
    public async IAsyncEnumerable<GenerationEvent> ReadAsync([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, Context.Cancellation);
        await foreach (var told in events.Reader.ReadAllAsync(either.Token).ConfigureAwait(false))
        {
            yield return told;
        }
    }

    /// <summary>All choices, when the last has ended.</summary>
    /// <exception cref="Diagnostics.InferenceException">The model failed, or is being taken out of service.</exception>
    /// <exception cref="OperationCanceledException">The request was cancelled.</exception>
    public async Task<IReadOnlyList<GenerationChoice>> CompleteAsync()
    {
        var choices = new SortedDictionary<int, (StringBuilder Text, List<int> Ids, List<SelectedToken> Tokens)>();
        await foreach (var told in ReadAsync().ConfigureAwait(false))
        {
            if (!choices.TryGetValue(told.Index, out var choice))
            {
                choices[told.Index] = choice = (new StringBuilder(), [], []);
            }

            choice.Text.Append(told.Text);
            if (told.TokenId is { } id)
            {
                choice.Ids.Add(id);
                choice.Tokens.Add(told.Token!.Value);
            }

            if (told.Finish is { } finish)
            {
                finished.Add(new GenerationChoice(told.Index, choice.Text.ToString(), choice.Ids, finish) { LogProbs = keepsLogProbs ? choice.Tokens : null });
            }
        }

        return [.. finished.OrderBy(choice => choice.Index)];
    }

    /// <summary>Text that stands before the first token of a choice.</summary>
    internal void Before(int index, string text) => events.Writer.TryWrite(new GenerationEvent(index, text, null));

    /// <summary>A token of a choice.</summary>
    internal void Tell(GenerationEvent told)
    {
        Counted();
        Interlocked.Increment(ref generated);
        events.Writer.TryWrite(told);
        if (told.Finish is not null)
        {
            Ended();
        }
    }

    /// <summary>A step has been taken.</summary>
    internal void Counted()
    {
        last = time.GetTimestamp();
        first = first == 0 ? last : first;
    }

    /// <summary>A choice that was not told token by token.</summary>
    internal void Finish(GenerationChoice choice)
    {
        finished.Add(choice);
        Interlocked.Add(ref generated, choice.TokenIds.Count);
        Ended();
    }

    /// <summary>No choice follows: a search may find fewer than were asked for, or none, which is the failure.</summary>
    internal void End(Exception? failure) => Close(failure);

    /// <summary>Ends all choices with a failure.</summary>
    internal void Fail(Exception exception) => Close(exception);

    private void Ended()
    {
        lock (gate)
        {
            if (--remaining > 0)
            {
                return;
            }
        }

        Close(null);
    }

    private void Close(Exception? failure)
    {
        if (events.Writer.TryComplete(failure))
        {
            ended();
        }
    }
}
