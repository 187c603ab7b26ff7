using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Http.Middleware;

/// <summary>
/// The one budget of bytes for bodies that have arrived and answers that are being taken, over all connections (setting <c>Limits:MaxBytesInFlight</c>). Bytes are
/// counted as they arrive, so a client holds no more than it has sent; the first <see cref="Free"/> of a request are not, so short requests go on beside large ones.
/// A request of any size is let in while no other holds anything. Thread-safe.
/// </summary>
/// <param name="limit">Bytes.</param>
/// <param name="time">The clock.</param>
/// <param name="giveBack">Gives memory back to the operating system; called when nothing has been held for <see cref="Quiet"/> after much was.</param>
internal sealed class BytesInFlight(long limit, TimeProvider time, Action giveBack)
{
    /// <summary>Bytes of a request that are not counted.</summary>
    public const long Free = 64 << 10;

    /// <summary>So many bytes at once leave memory behind that is worth giving back.</summary>
    public const long Much = 4 << 20;

    /// <summary>How long nothing may have been held before memory is given back: a collection takes some tens of milliseconds, and nobody should wait for it.</summary>
    public static readonly TimeSpan Quiet = TimeSpan.FromSeconds(1);

    private readonly Lock gate = new();
    private long held;
    private long most; // since memory was last given back
    private ITimer? timer;

    /// <summary>Bytes that are held.</summary>
    public long Held
    {
        get
        {
            lock (gate)
            {
                return held;
            }
        }
    }

    /// <summary>The default of the setting: a thirty-second of the memory that the process may use (a container's limit), since a body costs up to twelve times its bytes once it is tokenised; at least two of the largest bodies.</summary>
    public static long Default(Limits limits) => Math.Max(2 * limits.MaxBodyBytes, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 32);

    /// <summary>A collection that returns what is free to the operating system.</summary>
    public static void Collect() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);

    /// <summary>What the request of a context holds, until it has been answered.</summary>
    public RequestBytes Of(HttpContext context)
    {
        if (context.Features.Get<RequestBytes>() is not { } bytes)
        {
            bytes = new RequestBytes(this);
            context.Features.Set(bytes);
            context.Response.RegisterForDispose(bytes);
        }

        return bytes;
    }

    private bool TryHold(long more, long own)
    {
        lock (gate)
        {
            if (held + more > limit && held > own)
            {
                return false;
            }

            held += more;
            most = Math.Max(most, held);
            return true;
        }
    }

    private void Release(long bytes)
    {
        lock (gate)
        {
            held -= bytes;
            if (held == 0 && most >= Much)
            {
                timer ??= time.CreateTimer(_ => AfterQuiet(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                timer.Change(Quiet, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private void AfterQuiet()
    {
        lock (gate)
        {
            if (held > 0)
            {
                return; // the last one that leaves sets the timer again
            }

            most = 0;
        }

        giveBack();
    }

    /// <summary>What one request holds. Used by one thread at a time.</summary>
    internal sealed class RequestBytes(BytesInFlight budget) : IDisposable
    {
        private long body;
        private long answer;
        private long counted;

        /// <summary>Bytes of the body that have arrived.</summary>
        public long BodyBytes => body;

        /// <summary>So many bytes of the body have arrived.</summary>
        /// <exception cref="RequestException">429: others hold what is left of the budget.</exception>
        public void Body(long bytes)
        {
            body = Math.Max(body, bytes);
            Count("The bodies that are on their way");
        }

        /// <summary>An answer of so many bytes is made, and will be held until the client has taken it.</summary>
        /// <exception cref="RequestException">429: others hold what is left of the budget.</exception>
        public void Answer(long bytes)
        {
            answer = bytes;
            Count("The answers that wait for their clients");
        }

        /// <inheritdoc/>
        public void Dispose()
        {
            budget.Release(counted);
            counted = 0;
        }

        private void Count(string what)
        {
            var more = Math.Max(0, body + answer - Free) - counted;
            if (more <= 0)
            {
                return;
            }

            if (!budget.TryHold(more, counted))
            {
                throw new RequestException(ErrorCode.QueueFull, $"{what} fill the memory that the server keeps for them (setting Limits:MaxBytesInFlight). Try again in a moment, or send smaller requests: up to {Free} bytes are always taken.");
            }

            counted += more;
        }
    }
}
