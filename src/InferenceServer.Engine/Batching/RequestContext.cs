using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Batching;

/// <summary>One request's way through the server: its cancellation, its deadline, and what it cost.</summary>
public sealed class RequestContext(CancellationToken cancellation = default)
{
    private long tokens;
    private long queueTicks;
    private long inferenceTicks;
    private long tokenizeTicks;
    private int batchSize;

    /// <summary>Fires when the client has gone or the deadline has passed.</summary>
    public CancellationToken Cancellation { get; } = cancellation;

    /// <summary>Most tokens that the request may bring, all inputs together.</summary>
    public long MaxTokens { get; init; } = long.MaxValue;

    /// <summary>Who goes first when not all can.</summary>
    public Priority Priority { get; init; }

    /// <summary>Who asks, for a fair share among clients; equal for requests of one client. Null: nobody known.</summary>
    public object? Client { get; init; }

    /// <summary>Tokens of all inputs, special tokens included, padding not.</summary>
    public long Tokens => Interlocked.Read(ref tokens);

    /// <summary>Largest batch that an input of this request rode in.</summary>
    public int BatchSize => Volatile.Read(ref batchSize);

    /// <summary>Time spent in tokenisation.</summary>
    public TimeSpan Tokenize => new(Interlocked.Read(ref tokenizeTicks));

    /// <summary>Longest wait of an input in the queue.</summary>
    public TimeSpan Queue => new(Interlocked.Read(ref queueTicks));

    /// <summary>Longest run of a batch that an input of this request rode in.</summary>
    public TimeSpan Inference => new(Interlocked.Read(ref inferenceTicks));

    /// <summary>Counts tokens.</summary>
    /// <exception cref="InferenceException">They are more than <see cref="MaxTokens"/>.</exception>
    public void AddTokens(int count)
    {
        if (Interlocked.Add(ref tokens, count) > MaxTokens)
        {
            throw new InferenceException(ErrorCode.Unprocessable, $"The inputs have more than {MaxTokens} tokens together, the most of one request. Send several requests.", Argument.Of("Inputs")) { Limit = nameof(MaxTokens) };
        }
    }

    /// <summary>Counts time spent in tokenisation.</summary>
    public void AddTokenize(TimeSpan elapsed) => Interlocked.Add(ref tokenizeTicks, elapsed.Ticks);

    /// <summary>Records a ride: how long it waited, how long the batch ran, and how many rode.</summary>
    public void AddRide(TimeSpan queue, TimeSpan inference, int batch)
    {
        Raise(ref queueTicks, queue.Ticks);
        Raise(ref inferenceTicks, inference.Ticks);
        int seen;
        while ((seen = Volatile.Read(ref batchSize)) < batch && Interlocked.CompareExchange(ref batchSize, batch, seen) != seen)
        {
        }
    }

    private static void Raise(ref long target, long value)
    {
        long seen;
        while ((seen = Interlocked.Read(ref target)) < value && Interlocked.CompareExchange(ref target, value, seen) != seen)
        {
        }
    }
}
