using System.Net;

namespace InferenceServer.Server.Tests;

/// <summary>Between the signal and the end: readiness fails, requests are served, connections are given up.</summary>
public sealed class DrainTests
{
    private static readonly Dictionary<string, string?> Draining = new() { ["Shutdown__DrainSeconds"] = "3", ["Health__Url"] = "http://127.0.0.1:0" };

    [Fact]
    public async Task While_the_server_drains_it_serves_and_sends_clients_away()
    {
        using var models = ConnectionsTests.SmallModel();
        await using var server = await ServerProcess.StartAsync(models.Path, Draining);
        using var probe = new HttpClient { BaseAddress = server.HealthAddress };
        const string request = """{"inputs": "O gato"}""";
        Assert.NotEqual(true, await ClosesAsync(request));
        server.Signal(15);
        while ((await probe.ReadAsync("/health/ready")).Status != 503)
        {
            await Task.Yield();
        }

        Assert.Equal(503, (await server.Client.ReadAsync("/health/ready")).Status);
        Assert.Equal(200, (await probe.ReadAsync("/health/live")).Status);
        Assert.True(await ClosesAsync(request));
        await server.EndedAsync();
        Assert.Equal(0, server.ExitCode);
        server.AssertCleanLog();

        async Task<bool?> ClosesAsync(string body)
        {
            var answer = await server.Client.PostAsync("/api/models/demo-language/predictions", body);
            _ = answer.Ok;
            return answer.Headers.ConnectionClose;
        }
    }

    [Fact]
    public async Task While_the_server_drains_an_http2_connection_takes_no_further_streams()
    {
        using var models = ConnectionsTests.SmallModel();
        await using var server = await ServerProcess.StartAsync(
            models.Path, Draining, ["--Kestrel:Endpoints:Http:Url", "http://127.0.0.1:0", "--Kestrel:Endpoints:Http:Protocols", "Http2"], ready: false);
        using var probe = new HttpClient { BaseAddress = server.HealthAddress };
        var connections = 0;
        using var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (context, cancellation) =>
            {
                Interlocked.Increment(ref connections);
                var socket = new System.Net.Sockets.Socket(System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Tcp);
                await socket.ConnectAsync(context.DnsEndPoint, cancellation);
                return new System.Net.Sockets.NetworkStream(socket, ownsSocket: true);
            },
        };
        using var client = new HttpClient(handler) { BaseAddress = server.Address, DefaultRequestVersion = HttpVersion.Version20, DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact };
        await AskAsync();
        await AskAsync();
        Assert.Equal(1, connections);
        server.Signal(15);
        while ((await probe.ReadAsync("/health/ready")).Status != 503)
        {
            await Task.Yield();
        }

        while (connections == 1)
        {
            await AskAsync(); // the first answer is followed by GOAWAY
        }

        await server.EndedAsync();
        Assert.Equal(0, server.ExitCode);
        Assert.DoesNotContain("invalid for HTTP/2", server.Log, StringComparison.Ordinal);
        server.AssertCleanLog();

        async Task AskAsync() => Assert.Contains("demo-language", await client.GetStringAsync("/api/models", TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }
}
