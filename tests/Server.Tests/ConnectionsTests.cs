using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.RegularExpressions;
using InferenceServer.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Server.Tests;

/// <summary>Connections that say nothing, that are idle, and that are too many.</summary>
public sealed partial class ConnectionsTests
{
    private const string Request = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";

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
    public async Task Silent_and_slow_connections_are_cut()
    {
        using var models = SmallModel();
        using var key = System.Security.Cryptography.ECDsa.Create();
        using var certificate = new CertificateRequest("CN=localhost", key, System.Security.Cryptography.HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        var file = Path.Combine(models.Path, "certificate.pfx");
        await File.WriteAllBytesAsync(file, certificate.Export(X509ContentType.Pfx, "secret"), TestContext.Current.CancellationToken);
        await using var server = await ServerProcess.StartAsync(
            models.Path,
            new Dictionary<string, string?> { ["Limits__HeadersTimeoutSeconds"] = "1", ["Health__Url"] = "http://127.0.0.1:0" }, // idle connections stay for 75 s
            ["--Kestrel:Endpoints:Plain:Url", "http://127.0.0.1:0", "--Kestrel:Endpoints:Tls:Url", "https://127.0.0.1:0", "--Kestrel:Endpoints:Tls:Certificate:Path", file, "--Kestrel:Endpoints:Tls:Certificate:Password", "secret"]);
        var tls = new Uri(HttpsAddress().Match(server.Log).Value);
        using var idle = await ConnectedAsync(server.Address);
        using var probe = await ConnectedAsync(server.HealthAddress);
        Assert.StartsWith("HTTP/1.1 200", await AskAsync(idle), StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 200", await AskAsync(probe), StringComparison.Ordinal);
        var answers = await Task.WhenAll([
            .. Enumerable.Range(0, 50).Select(_ => AllAsync(server.Address, "")),
            AllAsync(tls, ""),
            AllAsync(tls, "", SslApplicationProtocol.Http11),
            AllAsync(tls, "", SslApplicationProtocol.Http2),
            AllAsync(server.HealthAddress, ""),
            AllAsync(server.Address, Request[..20]),
        ]);
        Assert.All(answers[..^1], Assert.Empty);
        Assert.StartsWith("HTTP/1.1 408", answers[^1], StringComparison.Ordinal);

        // They were opened before those that are cut, and have sent a request.
        Assert.StartsWith("HTTP/1.1 200", await AskAsync(idle), StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 200", await AskAsync(probe), StringComparison.Ordinal);
        server.AssertCleanLog();
    }

    [Fact]
    public async Task Idle_connections_are_cut()
    {
        using var models = SmallModel();
        await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Limits__KeepAliveSeconds"] = "1" });
        Assert.StartsWith("HTTP/1.1 200", await AllAsync(server.Address, Request), StringComparison.Ordinal);
        server.AssertCleanLog();
    }

    [Fact]
    public async Task Probes_are_answered_when_all_connections_are_used()
    {
        using var models = SmallModel();
        await using var server = await ServerProcess.StartAsync(
            models.Path, new Dictionary<string, string?> { ["Limits__MaxConnections"] = "3", ["AllowedHosts"] = "127.0.0.1;localhost", ["Health__Url"] = "http://127.0.0.1:0" });
        server.Client.Dispose(); // the connection that has asked for readiness
        var sockets = new List<Socket>();
        try
        {
            do
            {
                Assert.InRange(sockets.Count, 0, 20);
                sockets.Add(await ConnectedAsync(server.Address));
            }
            while ((await AskAsync(sockets[^1])).Length > 0);

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
            var refused = await server.Client.AskAsync(foreign);
            Assert.Equal((400, "urn:inference-server:error:malformed"), (refused.Status, (string?)refused.Json["type"]));
            Assert.Contains("'rebound.example'", (string?)refused.Json["detail"], StringComparison.Ordinal);
            Assert.Contains("(setting AllowedHosts)", (string?)refused.Json["detail"], StringComparison.Ordinal);
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

    /// <summary>Sends a text and gives all that comes until the server ends the connection; in TLS where a protocol is named.</summary>
    private static async Task<string> AllAsync(Uri address, string text, SslApplicationProtocol? protocol = null)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(address.Host, address.Port, TestContext.Current.CancellationToken);
        Stream stream = client.GetStream();
        if (protocol is { } named)
        {
            var secured = new SslStream(stream);
            await secured.AuthenticateAsClientAsync(
                new SslClientAuthenticationOptions { TargetHost = "localhost", ApplicationProtocols = [named], RemoteCertificateValidationCallback = (_, presented, _, _) => presented?.Subject == "CN=localhost" }, TestContext.Current.CancellationToken);
            Assert.Equal(named, secured.NegotiatedApplicationProtocol);
            stream = secured;
        }

        await using (stream)
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes(text), TestContext.Current.CancellationToken);
            var (all, buffer) = (new StringBuilder(), new byte[4096]);
            try
            {
                while (await stream.ReadAsync(buffer, TestContext.Current.CancellationToken) is > 0 and var read)
                {
                    all.Append(Encoding.ASCII.GetString(buffer, 0, read));
                }
            }
            catch (IOException)
            {
                // A reset is an end as well.
            }

            return all.ToString();
        }
    }

    private static async Task<Socket> ConnectedAsync(Uri address)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(address.Host, address.Port, TestContext.Current.CancellationToken);
        return socket;
    }

    /// <summary>Sends a request and gives its answer: empty when the server has closed the connection.</summary>
    private static async Task<string> AskAsync(Socket socket)
    {
        var (answer, buffer) = ("", new byte[4096]);
        try
        {
            await socket.SendAsync(Encoding.ASCII.GetBytes(Request), TestContext.Current.CancellationToken);
            while (!answer.EndsWith("\r\n0\r\n\r\n", StringComparison.Ordinal) && await socket.ReceiveAsync(buffer, TestContext.Current.CancellationToken) is > 0 and var read)
            {
                answer += Encoding.ASCII.GetString(buffer, 0, read);
            }

            return answer;
        }
        catch (SocketException)
        {
            return "";
        }
    }

    [GeneratedRegex(@"https://127\.0\.0\.1:[1-9]\d*")]
    private static partial Regex HttpsAddress();

    private sealed class TestConnection : DefaultConnectionContext
    {
        public bool IsAborted { get; private set; }

        public override void Abort(ConnectionAbortedException abortReason) => IsAborted = true;
    }
}
