using System.Net.Sockets;
using System.Text;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;
using InferenceServer.Http.Middleware;
using InferenceServer.Http.Native;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Server.Tests.Http;

/// <summary>A request is let in before its body is read: a refusal asks for none of it, and a permit is given back whatever became of the request.</summary>
public sealed class AdmissionTests : IAsyncLifetime
{
    private readonly TemporaryFolder models = new();
    private ModelRegistry? registry;
    private readonly TokenizeGate gate = new(1);
    private WebApplication? app;
    private Uri? address;

    public async ValueTask InitializeAsync()
    {
        foreach (var id in (string[])["demo-language", "another"])
        {
            TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), Path.Combine(models.Path, id));
        }

        registry = new ModelRegistry(new LoadingOptions { Directory = models.Path, Queue = new QueueOptions { MaxWaitingRequests = 1 } });
        await registry.LoadAllAsync();

        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddSingleton(new Limits()).AddSingleton(registry).AddSingleton(TimeProvider.System).AddSingleton(new BytesInFlight(long.MaxValue, TimeProvider.System, () => { })).AddSingleton(gate);
        app = builder.Build();
        app.UseMiddleware<RequestLog>();
        app.UseMiddleware<ProblemWriter>();
        app.MapTokenize();
        app.MapPredictions();
        await app.StartAsync();
        address = new Uri(app.Urls.Single());
    }

    public async ValueTask DisposeAsync()
    {
        await app!.DisposeAsync();
        await registry!.DisposeAsync();
        models.Dispose();
        gate.Dispose();
    }

    [Fact]
    public async Task While_a_large_request_tokenises_another_large_one_waits_and_small_ones_do_not()
    {
        var large = $$"""{"inputs": ["{{new string(' ', (int)BytesInFlight.Free)}}O gato dorme."]}""";
        using var client = new HttpClient { BaseAddress = address };
        Task<Answer> waiting;
        using (await gate.EnterAsync(TestContext.Current.CancellationToken)) // the only place
        {
            waiting = client.PostAsync("/api/models/demo-language/tokenize", large);
            for (var i = 0; i < 20; i++)
            {
                Assert.Equal(200, (await client.PostAsync("/api/models/another/tokenize", """{"inputs": "O gato dorme."}""")).Status);
            }

            Assert.False(waiting.IsCompleted);
        }

        Assert.Equal(200, (await waiting).Status);
    }

    [Theory]
    [InlineData("demo-language/predictions", "HTTP/1.1 429")]
    [InlineData("demo-language/tokenize", "HTTP/1.1 429")]
    [InlineData("nobody/predictions", "HTTP/1.1 404")]
    public async Task A_refused_request_is_answered_though_its_body_never_comes(string path, string status)
    {
        using var lease = registry!.Acquire("demo-language");
        using var permit = lease.Enter(new RequestContext()); // the only one

        var answer = await HeadAsync(path, "");

        Assert.StartsWith(status, answer, StringComparison.Ordinal); // and no 100 Continue before it: nothing asked for the body
    }

    [Fact]
    public async Task A_request_that_is_let_in_is_asked_for_its_body()
    {
        Assert.StartsWith("HTTP/1.1 100", await HeadAsync("demo-language/predictions", ""), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"inputs": "O gato dorme."}""", 200)]
    [InlineData("""{"inputs": ""}""", 422)]
    [InlineData("{", 400)]
    public async Task A_permit_is_given_back_when_the_answer_has_ended(string body, int status)
    {
        using var client = new HttpClient { BaseAddress = address };
        Assert.Equal(status, (await client.PostAsync("/api/models/demo-language/predictions", body)).Status);
        using var lease = registry!.Acquire("demo-language");
        for (var permit = TryEnter(lease); permit is null; permit = TryEnter(lease))
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            await Task.Yield(); // the answer may arrive a moment before its request has ended
        }
    }

    private static Permit? TryEnter(ModelLease lease)
    {
        try
        {
            return lease.Enter(new RequestContext());
        }
        catch (InferenceException)
        {
            return null;
        }
    }

    /// <summary>Sends a request's head alone and reads the first line that comes back.</summary>
    private async Task<string> HeadAsync(string path, string headers)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(address!.Host, address.Port, TestContext.Current.CancellationToken);
        var stream = socket.GetStream();
        await stream.WriteAsync(
            Encoding.ASCII.GetBytes($"POST /api/models/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\nexpect: 100-continue\r\n{headers}\r\n"),
            TestContext.Current.CancellationToken);
        using var reader = new StreamReader(stream, Encoding.ASCII);
        return await reader.ReadLineAsync(TestContext.Current.CancellationToken) ?? "";
    }
}
