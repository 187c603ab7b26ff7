using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Scheduling;

/// <summary>One request's way through the server: who sent it, how urgent it is, its cancellation, and what it cost.</summary>
public sealed class RequestContext(CancellationToken cancellation = default)
{
    private const long LeastCharacters = 4 << 20;
    private const long CharactersOfToken = 64;

    private long tokens;
    private long characters;
    private long queueTicks;
    private long inferenceTicks;
    private long tokenizeTicks;
    private int batchSize;

    /// <summary>Fires when the client has gone or the deadline has passed.</summary>
    public CancellationToken Cancellation { get; } = cancellation;

    /// <summary>What reading its texts may cost.</summary>
    public WorkLimits Work { get; } = new(cancellation);

    /// <summary>When the answer is of no use any more; of two requests of one client the one with the earlier deadline runs first.</summary>
    public DateTimeOffset Deadline { get; init; } = DateTimeOffset.MaxValue;

    /// <summary>How urgent it is.</summary>
    public Priority Priority { get; init; }

    /// <summary>Who sent it (the connection, until there are keys): clients get equal shares of the workers. Null: a client of its own.</summary>
    public object? Client { get; init; }

    /// <summary>
    /// Gives what a repetition of the same request has in common with it, as far as it is known before the body is read: a request that was refused is recognised by it
    /// when it comes again. Asked only while requests are refused, or when some were told to come again; null where nothing is known.
    /// </summary>
    public Func<ulong?>? Fingerprint { get; init; }

    /// <summary>Bytes of the body, where they are known before it is read: what the request may cost is estimated from them.</summary>
    public long? BodyBytes { get; init; }

    /// <summary>Most tokens that the request may bring, all inputs together.</summary>
    public long MaxTokens
    {
        get => Work.MaxTokens;
        init => Work.MaxTokens = value;
    }

    /// <summary>Most characters (UTF-16) of one text; 0: by the model, see <see cref="CharactersFor"/>.</summary>
    public long MaxTextCharacters { get; init; }

    /// <summary>Tokens of all inputs, special tokens included, padding not.</summary>
    public long Tokens => Interlocked.Read(ref tokens);

    /// <summary>Most rows of a batch that an input of this request was in.</summary>
    public int BatchSize => Volatile.Read(ref batchSize);

    /// <summary>Time spent in tokenisation.</summary>
    public TimeSpan Tokenize => new(Interlocked.Read(ref tokenizeTicks));

    /// <summary>Longest wait of an input in the queue.</summary>
    public TimeSpan Queue => new(Interlocked.Read(ref queueTicks));

    /// <summary>Longest run of a batch that an input of this request was in.</summary>
    public TimeSpan Inference => new(Interlocked.Read(ref inferenceTicks));

    /// <summary>The permit that it was let in with, or null.</summary>
    internal Permit? Permit { get; set; }

    /// <summary>
    /// Most characters of one text for a model of so many tokens: where nothing is set 64 characters a token, and four million at least, so that a book can still be cut or split into
    /// windows. A longer text would be tokenised for nothing.
    /// </summary>
    public long CharactersFor(int maxTokens) => MaxTextCharacters > 0 ? MaxTextCharacters : Math.Max(LeastCharacters, CharactersOfToken * (long)maxTokens);

    /// <summary>Counts tokens.</summary>
    /// <exception cref="InferenceException">They are more than <see cref="MaxTokens"/>.</exception>
    public void AddTokens(int count) => Work.RequireTokens(Interlocked.Add(ref tokens, count));

    /// <summary>Counts characters (UTF-16) that are about to be tokenised, those of a text that goes with several others (a query, a text with many labels) each time.</summary>
    /// <exception cref="InferenceException">They are more than 64 for each of <see cref="MaxTokens"/>.</exception>
    public void AddCharacters(int count)
    {
        RequireCharacters(count);
        Interlocked.Add(ref characters, count);
    }

    /// <summary>Refuses texts that would be too much for <see cref="AddCharacters"/>, before they are made.</summary>
    /// <exception cref="InferenceException">With those that were counted they have more than 64 characters for each of <see cref="MaxTokens"/>.</exception>
    public void RequireCharacters(long count)
    {
        if ((Interlocked.Read(ref characters) + count) / CharactersOfToken > MaxTokens)
        {
            throw new InferenceException(
                ErrorCode.Unprocessable,
                $"The inputs have more than {MaxTokens * CharactersOfToken} characters together, a text that goes with several others counted each time: {CharactersOfToken} for each of the {MaxTokens} tokens of one request. Shorten the text that is repeated, or send several requests.",
                Argument.Of("Inputs"))
            { Limit = nameof(MaxTokens) };
        }
    }

    /// <summary>Counts time spent in tokenisation.</summary>
    public void AddTokenize(TimeSpan elapsed) => Interlocked.Add(ref tokenizeTicks, elapsed.Ticks);

    /// <summary>Records a run: how long an input waited for it, how long it took, and how many rows it had.</summary>
    public void AddRun(TimeSpan queue, TimeSpan inference, int rows)
    {
        Raise(ref queueTicks, queue.Ticks);
        Raise(ref inferenceTicks, inference.Ticks);
        int seen;
        while ((seen = Volatile.Read(ref batchSize)) < rows && Interlocked.CompareExchange(ref batchSize, rows, seen) != seen)
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
