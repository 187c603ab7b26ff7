using InferenceServer.Configuration;
using InferenceServer.Engine.Serving;
using InferenceServer.Http.Middleware;
using InferenceServer.Http.Native;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace InferenceServer.Hosting;

/// <summary>
/// The health endpoints at an address of their own (<c>Health:Url</c>), by a second web server in the process: probes are answered when the first has as many connections as it may,
/// whatever <c>AllowedHosts</c> says, and until the process ends. The answers are those of the server's own addresses.
/// </summary>
internal sealed class HealthListener : IAsyncDisposable
{
    /// <summary>Most connections at a time: enough for every prober, too few to cost anything.</summary>
    public const int MaxConnections = 256;

    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(1);
    private readonly WebApplication app;

    private HealthListener(WebApplication app) => this.app = app;

    /// <summary>Where it listens.</summary>
    public IEnumerable<string> Addresses => app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses;

    /// <summary>Listens.</summary>
    /// <param name="url">The address.</param>
    /// <param name="server">Services of the server whose health it tells.</param>
    /// <exception cref="IOException">The address cannot be listened on.</exception>
    public static async Task<HealthListener> StartAsync(string url, IServiceProvider server)
    {
        // Empty: neither the environment nor the command line nor Kestrel's settings, which are the server's.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        var limits = server.GetRequiredService<Limits>();
        builder.Services.AddSingleton(server.GetRequiredService<ILoggerFactory>());
        builder.Services.AddSingleton(server.GetRequiredService<ModelRegistry>());
        builder.Services.AddSingleton(server.GetRequiredService<ServerState>());
        builder.Services.AddSingleton(server.GetRequiredService<TimeProvider>());
        builder.Services.AddSingleton(limits);
        builder.Services.AddSingleton<IHostLifetime, OfServer>();
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore().UseUrls(url).ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 0;
            kestrel.LimitConnections(limits, MaxConnections);
        });

        var app = builder.Build();
        app.UseFirstRequest();
        app.UseMiddleware<RequestLog>();
        app.UseMiddleware<SecurityHeaders>();
        app.UseMiddleware<ProblemWriter>();
        app.UseRouting();
        app.MapHealth();
        app.MapFallback("{*path}", NothingElse);
        try
        {
            await app.StartAsync();
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }

        return new HealthListener(app);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await app.StopAsync(StopLimit); // a probe that is being answered needs the services
        await app.DisposeAsync();
    }

    private static Task NothingElse(HttpContext context) => ProblemWriter.WriteAsync(context, new Problem
    {
        Type = "urn:inference-server:error:" + ErrorTable.OfStatus(StatusCodes.Status404NotFound).Name,
        Title = ErrorTable.OfStatus(StatusCodes.Status404NotFound).Title,
        Status = StatusCodes.Status404NotFound,
        Detail = "This address (setting Health:Url) answers /health/live, /health/ready and /health/ready/{model} only; everything else is at the server's own addresses (--urls).",
        RequestId = RequestRecord.Of(context).Id,
    });

    /// <summary>Signals are the server's business; this ends with it.</summary>
    private sealed class OfServer : IHostLifetime
    {
        /// <inheritdoc/>
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        /// <inheritdoc/>
        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
