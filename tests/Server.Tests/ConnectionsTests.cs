using System.Net.Sockets;
using System.Text;
using InferenceServer.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Server.Tests;

/// <summary>Connections that say nothing, that are idle, and that are too many.</summary>
public sealed class ConnectionsTests
{
    [Fact]
    public async Task A_connection_without_a_request_is_cut_after_the_limit_and_one_with_a_request_is_not()
    {
        var time = new FakeTimeProvider();
        var limit = TimeSpan.FromSeconds(18);
        foreach (var speaks in (bool[])[false, true])
        {
            var connection = new TestConnection();
            var end = new TaskCompletionSource();
            var running = Connections.UntilFirstRequestAsync(connection, _ => end.Task, limit, time);
            time.Advance(limit - TimeSpan.FromSeconds(1));
            Assert.False(connection.IsAborted);
            if (speaks)
            {
                connection.Features.Get<Connections.FirstRequest>()!.Came();
            }

            time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(!speaks, connection.IsAborted);
            end.SetResult();
            await running;
        }
    }

    [Fact]
    public async Task Nothing_is_timed_when_a_connection_has_ended()
    {
        var time = new FakeTimeProvider();
        var connection = new TestConnection();
        await Connections.UntilFirstRequestAsync(connection, _ => Task.CompletedTask, TimeSpan.FromSeconds(1), time);
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.False(connection.IsAborted);
    }

    [Fact]
    public async Task Silent_slow_and_idle_connections_are_cut()
    {
        using var models = SmallModel();
        await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Limits__HeadersTimeoutSeconds"] = "1", ["Limits__KeepAliveSeconds"] = "1" });
        var request = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
        var answers = await Task.WhenAll([
            .. Enumerable.Range(0, 50).Select(_ => AllAsync(server, "")),
            AllAsync(server, request[..20]),
            AllAsync(server, request),
        ]);
        Assert.All(answers[..50], Assert.Empty);
        Assert.StartsWith("HTTP/1.1 408", answers[50], StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 200", answers[51], StringComparison.Ordinal); // and then the connection was idle
        server.AssertCleanLog();
    }

    [Fact]
    public async Task Probes_are_answered_when_all_connections_are_used()
    {
        using var models = SmallModel();
        await using var server = await ServerProcess.StartAsync(
            models.Path, new Dictionary<string, string?> { ["Limits__MaxConnections"] = "3", ["AllowedHosts"] = "127.0.0.1", ["Health__Url"] = "http://127.0.0.1:0" });
        server.Client.Dispose(); // the connection that has asked for readiness
        var sockets = new List<Socket>();
        try
        {
            while (await IsTakenAsync(server, sockets))
            {
                Assert.InRange(sockets.Count, 0, 20);
            }

            using var probe = new HttpClient { BaseAddress = server.HealthAddress };
            Assert.Equal("live", (string?)(await probe.ReadAsync("/health/live")).Ok["status"]);
            var ready = (await probe.ReadAsync("/health/ready")).Ok;
            Assert.Equal("demo-language", (string?)ready["models"]![0]!["id"]);
            Assert.Equal("ready", (string?)(await probe.ReadAsync("/health/ready/demo-language")).Ok["status"]);
            Assert.Equal(404, (await probe.ReadAsync("/health/ready/none")).Status);

            // A probe names the address of a pod as its host; what is not about health is elsewhere.
            using var named = new HttpRequestMessage(HttpMethod.Get, "/health/live") { Headers = { Host = "10.1.2.3:8081" } };
            Assert.Equal(200, (await probe.AskAsync(named)).Status);
            var other = await probe.ReadAsync("/api/models");
            Assert.Equal(404, other.Status);
            Assert.Contains("Health:Url", (string?)other.Json["detail"], StringComparison.Ordinal);
        }
        finally
        {
            sockets.ForEach(s => s.Dispose());
        }
    }

    [Fact]
    public async Task Only_the_allowed_hosts_are_answered_and_a_server_that_answers_all_says_so()
    {
        using var models = SmallModel();
        string[] everywhere = ["--Kestrel:Endpoints:Near:Url", "http://127.0.0.1:0", "--Kestrel:Endpoints:Far:Url", "http://0.0.0.0:0"];
        await using (var server = await ServerProcess.StartAsync(models.Path, arguments: everywhere))
        {
            var warning = Assert.Single(server.Log.Split('\n'), line => line.Contains("AllowedHosts", StringComparison.Ordinal));
            Assert.Contains("http://0.0.0.0:", warning, StringComparison.Ordinal);
            Assert.DoesNotContain("http://127.0.0.1:", warning, StringComparison.Ordinal);
        }

        await using (var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["AllowedHosts"] = "127.0.0.1;localhost" }, everywhere))
        {
            Assert.DoesNotContain("AllowedHosts", server.Log, StringComparison.Ordinal);
            using var foreign = new HttpRequestMessage(HttpMethod.Get, "/api/models") { Headers = { Host = "rebound.example" } };
            Assert.Equal(400, (await server.Client.AskAsync(foreign)).Status);
            Assert.Equal(200, (await server.Client.ReadAsync("/api/models")).Status);
        }
    }

    [Theory]
    [InlineData("http://localhost:8080", false)]
    [InlineData("http://127.0.0.1:8080", false)]
    [InlineData("https://[::1]:8080", false)]
    [InlineData("http://unix:/run/inference.sock", false)]
    [InlineData("http://+:8080", true)]
    [InlineData("http://*:8080", true)]
    [InlineData("http://0.0.0.0:8080", true)]
    [InlineData("http://[::]:8080", true)]
    [InlineData("https://10.0.0.5:8443", true)]
    [InlineData("http://inference.example.com:80", true)]
    public void Addresses_that_other_machines_may_reach_are_warned_of(string address, bool warned)
    {
        Assert.Equal(warned, HostNames.Warning([address], allowsAny: true) is not null);
        Assert.Null(HostNames.Warning([address], allowsAny: false));
    }

    [Fact]
    public async Task A_port_for_probes_that_is_in_use_is_told_with_its_setting()
    {
        using var taken = new TcpListener(System.Net.IPAddress.Loopback, 0);
        taken.Start();
        var (code, output) = await ServerProcess.RunAsync(["--urls", "http://127.0.0.1:0", "--models", Repository.Models, "--Health:Url", $"http://{taken.LocalEndpoint}"]);
        Assert.Equal(1, code);
        var line = output.Trim().Split('\n')[^1];
        Assert.Contains(taken.LocalEndpoint.ToString()!, line, StringComparison.Ordinal);
        Assert.Contains("--Health:Url", line, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    /// <summary>A folder with one small model.</summary>
    internal static TemporaryFolder SmallModel()
    {
        var folder = new TemporaryFolder();
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), Path.Combine(folder.Path, "demo-language"));
        return folder;
    }

    /// <summary>Sends a text and gives all that comes until the server ends the connection.</summary>
    private static async Task<string> AllAsync(ServerProcess server, string text)
    {
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", server.Address.Port, TestContext.Current.CancellationToken);
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(text), TestContext.Current.CancellationToken);
        using var reader = new StreamReader(client.GetStream(), Encoding.ASCII);
        return await reader.ReadToEndAsync(TestContext.Current.CancellationToken);
    }

    /// <summary>Opens a connection and asks on it: false when the server has closed it at once.</summary>
    private static async Task<bool> IsTakenAsync(ServerProcess server, List<Socket> sockets)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        sockets.Add(socket);
        await socket.ConnectAsync(server.Address.Host, server.Address.Port, TestContext.Current.CancellationToken);
        try
        {
            await socket.SendAsync("GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
            return await socket.ReceiveAsync(new byte[4096], TestContext.Current.CancellationToken) > 0;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private sealed class TestConnection : DefaultConnectionContext
    {
        public bool IsAborted { get; private set; }

        public override void Abort(ConnectionAbortedException abortReason) => IsAborted = true;
    }
}
