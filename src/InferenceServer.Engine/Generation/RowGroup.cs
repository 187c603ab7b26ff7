using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Generation;

/// <summary>Rows of a decoder that belong together: one sequence, or the beams of one. Used by one thread at a time.</summary>
internal abstract class RowGroup(RequestContext context, EncoderStates? encoder)
{
    /// <summary>The request.</summary>
    public RequestContext Context { get; } = context;

    /// <summary>What the decoder of an encoder-decoder reads.</summary>
    public EncoderStates? Encoder { get; } = encoder;

    /// <summary>Its place among all that came: of two the higher is the younger.</summary>
    public long Number { get; set; }

    /// <summary>Tokens that have to be computed before it can go on: its prompt, after a preemption what it had generated too.</summary>
    public abstract IReadOnlyList<int> Prompt { get; }

    /// <summary>Rows that it has at most.</summary>
    public abstract int MostRows { get; }

    /// <summary>Whether it can be put back: what it has is enough to come to the same again.</summary>
    public abstract bool CanBePreempted { get; }

    /// <summary>True when it has been answered, or nobody waits for it.</summary>
    public bool IsDone { get; private set; }

    /// <summary>When its first run began, as a timestamp; 0 before.</summary>
    public long Started { get; private set; }

    /// <summary>What it holds while it waits for its first run.</summary>
    public Action? Waits { get; init; }

    /// <summary>Reads the logits after the last token of its row <paramref name="row"/>.</summary>
    /// <exception cref="InferenceException">They are no numbers.</exception>
    public abstract void Read(int row, ReadOnlySpan<float> logits);

    /// <summary>What its rows are next: the row that each goes on from, and its new token. Empty when it has ended.</summary>
    public abstract IReadOnlyList<(int Parent, int Token)> Advance();

    /// <summary>Its first run begins.</summary>
    public void Begin(long timestamp)
    {
        if (Started == 0)
        {
            Started = timestamp;
            Waits?.Invoke();
        }
    }

    /// <summary>Ends it with a failure.</summary>
    public void Fail(Exception exception)
    {
        if (!IsDone)
        {
            IsDone = true;
            if (Started == 0)
            {
                Waits?.Invoke();
            }

            OnFailed(exception);
        }
    }

    /// <summary>It has ended.</summary>
    protected void Done() => IsDone = true;

    /// <summary>Tells those who wait.</summary>
    protected abstract void OnFailed(Exception exception);
}
