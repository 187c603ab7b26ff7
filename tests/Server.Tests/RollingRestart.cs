using System.Diagnostics;
using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Yarp.ReverseProxy.Configuration;

namespace InferenceServer.Server.Tests;

/// <summary>What clients saw of the restarts.</summary>
/// <param name="Sent">Requests.</param>
/// <param name="Failed">What was answered or thrown instead of 200, one entry a request.</param>
/// <param name="LongestMilliseconds">The longest wait for an answer.</param>
/// <param name="Seconds">Time of all restarts.</param>
internal sealed record RestartResult(int Sent, IReadOnlyList<string> Failed, double LongestMilliseconds, double Seconds);

/// <summary>
/// Two servers behind a proxy (YARP, in this process) that asks both for their readiness, restarted in turn while clients send without end.
/// </summary>
internal static class RollingRestart
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);

    /// <summary>Runs it.</summary>
    /// <param name="models">Folder of models.</param>
    /// <param name="path">What is posted to.</param>
    /// <param name="body">What is posted.</param>
    /// <param name="restarts">Restarts of a server, the two in turn.</param>
    /// <param name="connections">Clients, each with one request at a time.</param>
    /// <param name="drainSeconds"><c>Shutdown:DrainSeconds</c>.</param>
    /// <param name="pause">Between the requests of a client.</param>
    public static async Task<RestartResult> RunAsync(string models, string path, string body, int restarts, int connections, double drainSeconds, TimeSpan pause)
    {
        var settings = new Dictionary<string, string?>
        {
            ["Shutdown__DrainSeconds"] = drainSeconds.ToString(CultureInfo.InvariantCulture),
            ["Health__Url"] = "http://127.0.0.1:0",
        };
        var servers = new List<ServerProcess>();
        try
        {
            for (var i = 0; i < 2; i++)
            {
                servers.Add(await ServerProcess.StartAsync(models, settings));
            }

            await using var proxy = await ProxyAsync(servers);
            using var client = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = connections, UseProxy = false })
            {
                BaseAddress = new Uri(proxy.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()),
            };
            using var enough = new CancellationTokenSource();
            var clients = Enumerable.Range(0, connections).Select(_ => Task.Run(() => SendAsync(client, path, body, pause, enough.Token))).ToArray();
            var watch = Stopwatch.StartNew();
            for (var restart = 0; restart < restarts; restart++)
            {
                var server = servers[0];
                server.Signal(15);
                await server.EndedAsync();
                if (server.ExitCode != 0)
                {
                    throw new InvalidOperationException($"A server ended with {server.ExitCode}:\n{server.Log}");
                }

                server.AssertCleanLog();
                servers.RemoveAt(0);
                await server.DisposeAsync();
                servers.Add(await ServerProcess.StartAsync(models, settings));
                proxy.Services.GetRequiredService<InMemoryConfigProvider>().Update(Routes, Clusters(servers));
            }

            var seconds = watch.Elapsed.TotalSeconds;
            await enough.CancelAsync();
            var seen = await Task.WhenAll(clients);
            return new RestartResult(seen.Sum(s => s.Sent), [.. seen.SelectMany(s => s.Failed)], seen.Max(s => s.Longest), seconds);
        }
        finally
        {
            foreach (var server in servers)
            {
                await server.DisposeAsync();
            }
        }
    }

    private static async Task<(int Sent, List<string> Failed, double Longest)> SendAsync(HttpClient client, string path, string body, TimeSpan pause, CancellationToken enough)
    {
        var (sent, failed, longest) = (0, new List<string>(), 0.0);
        while (!enough.IsCancellationRequested)
        {
            var begin = Stopwatch.GetTimestamp();
            sent++;
            try
            {
                using var content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
                using var answer = await client.PostAsync(path, content, CancellationToken.None);
                var text = await answer.Content.ReadAsStringAsync(CancellationToken.None);
                if (!answer.IsSuccessStatusCode)
                {
                    failed.Add($"{(int)answer.StatusCode} {text}");
                }
            }
            catch (HttpRequestException e)
            {
                failed.Add($"{e.Message} {e.InnerException?.Message}");
            }

            longest = Math.Max(longest, Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
            if (pause > TimeSpan.Zero)
            {
                await Task.Delay(pause, CancellationToken.None);
            }
        }

        return (sent, failed, longest);
    }

    private static async Task<WebApplication> ProxyAsync(List<ServerProcess> servers)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddReverseProxy().LoadFromMemory(Routes, Clusters(servers));
        var proxy = builder.Build();
        proxy.MapReverseProxy();
        await proxy.StartAsync();
        return proxy;
    }

    private static IReadOnlyList<RouteConfig> Routes { get; } = [new RouteConfig { RouteId = "all", ClusterId = "servers", Match = new RouteMatch { Path = "{**all}" } }];

    private static IReadOnlyList<ClusterConfig> Clusters(List<ServerProcess> servers) =>
    [
        new ClusterConfig
        {
            ClusterId = "servers",
            LoadBalancingPolicy = "RoundRobin",
            HealthCheck = new HealthCheckConfig
            {
                Active = new ActiveHealthCheckConfig { Enabled = true, Interval = Interval, Timeout = TimeSpan.FromSeconds(5), Policy = "ConsecutiveFailures", Path = "/health/ready" },
            },
            Metadata = new Dictionary<string, string> { ["ConsecutiveFailuresHealthPolicy.Threshold"] = "2" },
            Destinations = servers.ToDictionary(s => s.Address.ToString(), s => new DestinationConfig { Address = s.Address.ToString(), Health = s.HealthAddress.ToString() }),
        },
    ];
}
