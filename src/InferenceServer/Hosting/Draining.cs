using InferenceServer.Configuration;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Hosting;

/// <summary>
/// How the server stops: at the signal readiness fails at once; for the drain window requests are still taken, with answers that close their
/// connections; then listening ends and running requests finish within the shutdown time-out.
/// </summary>
internal sealed class Draining(Shutdown settings, ServerState server) : IHostedLifecycleService
{
    /// <inheritdoc/>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        server.Drain();
        if (settings.DrainSeconds > 0)
        {
            await Task.Delay(TimeSpan.FromSeconds(settings.DrainSeconds), cancellationToken);
        }
    }

    /// <inheritdoc/>
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
