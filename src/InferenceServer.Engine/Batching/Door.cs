using System.Diagnostics.CodeAnalysis;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Batching;

/// <summary>Bounds what waits, in requests, sequences and tokens. Thread-safe: callers enter on their own threads.</summary>
internal sealed class Door(QueueOptions options)
{
    private readonly Lock gate = new();
    private readonly Dictionary<RequestContext, int> requests = [];
    private int sequences;
    private long tokens;
    private double drainRate; // tokens a second, 0 while nothing was measured
    private bool closed;

    /// <summary>Lets a rider in, or says why not.</summary>
    public bool TryEnter(Rider rider, [NotNullWhen(false)] out InferenceException? refusal)
    {
        lock (gate)
        {
            refusal = closed ? new InferenceException(ErrorCode.Unavailable, $"The model is being taken out of service; try again in a moment.") { RetryAfter = TimeSpan.FromSeconds(1) }
                : !requests.ContainsKey(rider.Context) && requests.Count >= options.MaxWaitingRequests ? Full($"{requests.Count} requests wait at the model, the limit is {options.MaxWaitingRequests}")
                : sequences >= options.MaxWaitingSequences ? Full($"{sequences} sequences wait at the model, the limit is {options.MaxWaitingSequences}")
                : sequences > 0 && tokens + rider.Length > options.MaxWaitingTokens ? Full($"{tokens} tokens wait at the model, the limit is {options.MaxWaitingTokens}")
                : null;
            if (refusal is not null)
            {
                return false;
            }

            requests[rider.Context] = requests.GetValueOrDefault(rider.Context) + 1;
            sequences++;
            tokens += rider.Length;
            return true;
        }
    }

    /// <summary>Counts a rider out.</summary>
    public void Leave(Rider rider)
    {
        lock (gate)
        {
            if (--requests[rider.Context] == 0)
            {
                requests.Remove(rider.Context);
            }

            sequences--;
            tokens -= rider.Length;
        }
    }

    /// <summary>Learns how fast the lanes work together, in tokens a second.</summary>
    public void Measured(double tokensPerSecond)
    {
        lock (gate)
        {
            drainRate = drainRate == 0 ? tokensPerSecond : (0.8 * drainRate) + (0.2 * tokensPerSecond);
        }
    }

    /// <summary>Lets nobody in any more.</summary>
    public void Close()
    {
        lock (gate)
        {
            closed = true;
        }
    }

    // Half of what waits has drained after this time: then it is worth trying again.
    private InferenceException Full(string what)
    {
        var seconds = drainRate > 0 ? Math.Clamp(tokens / drainRate / 2, 1, 60) : 1;
        return new InferenceException(ErrorCode.QueueFull, $"The queue is full: {what}. Try again after the time in Retry-After, or send fewer inputs at once.")
        {
            RetryAfter = TimeSpan.FromSeconds(Math.Ceiling(seconds)),
        };
    }
}
