using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Scheduling;

/// <summary>Bounds what waits at one model, in requests, sequences and tokens. Refusing is the cheapest thing it does. Thread-safe.</summary>
/// <remarks>
/// (1) <see cref="Enter"/>: before the body of a request is read it takes a permit; what it will bring is estimated from the size of its body. (2) <see cref="Admit"/>:
/// when its tokens are known they are admitted as a whole, all or none; a request that is larger than the bound is let in when nothing else waits. (3)
/// <see cref="Leave"/>: when the last of its sequences runs, or nobody waits for them any more, its tokens make room. A refusal says when it is worth coming again, and keeps a place then
/// (<see cref="Reservations"/>).
/// </remarks>
public sealed class Admission
{
    private const double Smoothing = 0.1;
    private const int Slack = 2; // times its estimate that a request may bring though the queue is full: it was let in, and it has been parsed and tokenised

    private readonly QueueOptions options;
    private readonly string model;
    private readonly TimeProvider time;
    private readonly Lock gate = new();
    private readonly Reservations reservations = new();
    private int requests;
    private int sequences;
    private long tokens; // of requests of which something still waits for a worker
    private long expected; // of requests whose tokens are not known yet
    private double drainRate; // tokens a second, 0 while nothing was measured
    private double tokensPerByte = 0.25;
    private double tokensPerRequest = 64;
    private bool closed;

    /// <summary>An empty queue.</summary>
    /// <param name="options">The bounds.</param>
    /// <param name="model">The model's id, for the meters.</param>
    /// <param name="time">The clock.</param>
    public Admission(QueueOptions options, string model = "", TimeProvider? time = null)
    {
        this.options = options;
        this.model = model;
        this.time = time ?? TimeProvider.System;
    }

    /// <summary>Sequences that wait.</summary>
    public int Sequences => Volatile.Read(ref sequences);

    /// <summary>Tokens that wait.</summary>
    public long Tokens => Interlocked.Read(ref tokens);

    /// <summary>Lets a request in before its body is read. Disposing the permit ends the request.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.QueueFull"/> or <see cref="ErrorCode.Unavailable"/>.</exception>
    public Permit Enter(RequestContext context)
    {
        lock (gate)
        {
            ThrowIfClosed();
            var half = Math.Max(1, options.MaxWaitingTokens / 2);
            var estimate = Math.Clamp((long)(context.BodyBytes is { } bytes ? bytes * tokensPerByte : tokensPerRequest), 1, half);
            var now = time.GetUtcNow();
            reservations.Advance(now);
            var waiting = tokens + Math.Min(expected, half); // bodies that are sent slowly, or never whole, must not keep all others out
            var known = !reservations.IsEmpty && reservations.TryTake(context.Client, context.Fingerprint?.Invoke(), now);
            var full = requests >= options.MaxWaitingRequests ? $"{requests} requests are being served or wait, the limit is {options.MaxWaitingRequests}"
                : waiting > 0 && waiting + estimate + (known ? 0 : reservations.Kept) > options.MaxWaitingTokens ? $"about {waiting} tokens wait, the limit is {options.MaxWaitingTokens}"
                : null;
            if (full is not null)
            {
                throw Full(full, estimate, context, now);
            }

            requests++;
            expected += estimate;
            return context.Permit = new Permit(this, estimate);
        }
    }

    /// <summary>Lets all sequences of a request in, or none. What a request brings later is let in with what it brought first: it is answered as a whole.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.QueueFull"/> or <see cref="ErrorCode.Unavailable"/>.</exception>
    internal void Admit(RequestContext context, int count, long length)
    {
        lock (gate)
        {
            ThrowIfClosed();
            var permit = context.Permit;
            var (estimate, first) = (permit?.Estimate ?? 0, permit?.Admitted != true);
            var full = !first ? null
                : sequences > 0 && sequences + count > options.MaxWaitingSequences ? $"{sequences} sequences wait and the request has {count}, the limit is {options.MaxWaitingSequences}"
                : tokens > 0 && tokens + length > Math.Max(options.MaxWaitingTokens, tokens + (Slack * estimate)) ? $"{tokens} tokens wait and the request has {length}, the limit is {options.MaxWaitingTokens}"
                : null;
            if (full is not null)
            {
                throw Full(full, length, context, time.GetUtcNow());
            }

            if (permit is not null && first)
            {
                permit.Admitted = true;
                expected -= permit.TakeEstimate();
                tokensPerRequest += Smoothing * (length - tokensPerRequest);
                tokensPerByte += context.BodyBytes is > 0 and { } bytes ? Smoothing * (((double)length / bytes) - tokensPerByte) : 0;
            }

            sequences += count;
            tokens += length;
            EngineMetrics.Queued(model, count);
        }
    }

    /// <summary>What was let in before waits for its next run.</summary>
    internal void Continue(int count, long length)
    {
        lock (gate)
        {
            sequences += count;
            tokens += length;
            EngineMetrics.Queued(model, count);
        }
    }

    /// <summary>Sequences that run now, or that nobody waits for, and the tokens of requests that have no other: a half-served request still takes its room, else many would be half-served.</summary>
    internal void Leave(int count, long length)
    {
        lock (gate)
        {
            sequences -= count;
            tokens -= length;
            EngineMetrics.Queued(model, -count);
        }
    }

    /// <summary>Learns how fast the workers are together at this model, in tokens a second.</summary>
    internal void Measured(double tokensPerSecond)
    {
        lock (gate)
        {
            drainRate = drainRate == 0 ? tokensPerSecond : drainRate + (Smoothing * (tokensPerSecond - drainRate));
        }
    }

    /// <summary>Lets nobody in any more.</summary>
    internal void Close()
    {
        lock (gate)
        {
            closed = true;
        }
    }

    /// <summary>A request has ended.</summary>
    internal void End(Permit permit)
    {
        lock (gate)
        {
            requests--;
            expected -= permit.TakeEstimate();
        }
    }

    private void ThrowIfClosed()
    {
        if (closed)
        {
            EngineMetrics.Refused(model, "unavailable");
            throw new InferenceException(ErrorCode.Unavailable, $"The model is being taken out of service; try again in a moment.") { RetryAfter = TimeSpan.FromSeconds(1) };
        }
    }

    private InferenceException Full(string what, long length, RequestContext context, DateTimeOffset now)
    {
        EngineMetrics.Refused(model, "queue_full");

        // When half of what waits has drained there is room again.
        var rate = drainRate > 0 ? drainRate : options.MaxWaitingTokens;
        var half = now + TimeSpan.FromSeconds((tokens + expected) / rate / 2);
        var wait = reservations.Book(context.Client, context.Fingerprint?.Invoke(), length, half, TimeSpan.FromSeconds(length / rate), now);
        return new InferenceException(ErrorCode.QueueFull, $"The queue of the model is full: {what}. Try again after the time that is given, or send fewer inputs at once.") { RetryAfter = wait };
    }
}

/// <summary>A request that was let in.</summary>
public sealed class Permit : IDisposable
{
    private readonly Admission admission;
    private int disposed;

    internal Permit(Admission admission, long estimate)
    {
        this.admission = admission;
        Estimate = estimate;
    }

    /// <summary>Tokens that the request is expected to bring; 0 once they are known.</summary>
    internal long Estimate { get; private set; }

    /// <summary>True when its first sequences were let in.</summary>
    internal bool Admitted { get; set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) == 0)
        {
            admission.End(this);
        }
    }

    internal long TakeEstimate()
    {
        var taken = Estimate;
        Estimate = 0;
        return taken;
    }
}
