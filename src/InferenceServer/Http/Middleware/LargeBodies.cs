using System.Diagnostics.Metrics;

namespace InferenceServer.Http.Middleware;

/// <summary>
/// How many large bodies are parsed and tokenised at a time (setting <c>Limits:MaxLargeBodies</c>): that takes a core and several times the body's bytes, so more than there
/// are cores would only hold memory. Small bodies never wait. Thread-safe.
/// </summary>
/// <param name="most">Bodies at a time.</param>
internal sealed class LargeBodies(int most) : IDisposable
{
    /// <summary>A body of more bytes is large.</summary>
    public const long Bytes = 256 << 10;

    private static readonly Meter Meter = new("InferenceServer.Http");
    private static readonly UpDownCounter<long> Active = Meter.CreateUpDownCounter<long>("inference.large_bodies.active", "{request}", "Large bodies that are being parsed and tokenised.");

    private readonly SemaphoreSlim places = new(most, most);

    /// <summary>Places that are taken.</summary>
    public int Taken => most - places.CurrentCount;

    /// <summary>A place for a body; disposing it, once or more, makes it free.</summary>
    /// <exception cref="OperationCanceledException">The request ended while it waited.</exception>
    public async Task<IDisposable> EnterAsync(CancellationToken cancellation)
    {
        await places.WaitAsync(cancellation);
        Active.Add(1);
        return new Place(places);
    }

    /// <inheritdoc/>
    public void Dispose() => places.Dispose();

    private sealed class Place(SemaphoreSlim places) : IDisposable
    {
        private int left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref left, 1) == 0)
            {
                Active.Add(-1);
                places.Release();
            }
        }
    }
}
