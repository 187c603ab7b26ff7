namespace InferenceServer.Engine.Diagnostics;

/// <summary>
/// How many large requests tokenise at the same time: each holds a core and several times its bytes while it does. Those beyond wait in the order in which they came; small requests do not
/// come by here. Thread-safe.
/// </summary>
/// <param name="places">Requests at the same time, at least 1.</param>
public sealed class TokenizeGate(int places) : IDisposable
{
    private readonly SemaphoreSlim free = new(places, places);

    /// <summary>Waits for a place; it is free again when what this gives is disposed.</summary>
    /// <exception cref="OperationCanceledException">The request was given up meanwhile.</exception>
    public async ValueTask<IDisposable> EnterAsync(CancellationToken cancellation)
    {
        await free.WaitAsync(cancellation).ConfigureAwait(false);
        EngineMetrics.Tokenizing(1);
        return new Place(free);
    }

    /// <inheritdoc/>
    public void Dispose() => free.Dispose();

    private sealed class Place(SemaphoreSlim free) : IDisposable
    {
        private int isLeft;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref isLeft, 1) == 0)
            {
                EngineMetrics.Tokenizing(-1);
                free.Release();
            }
        }
    }
}
