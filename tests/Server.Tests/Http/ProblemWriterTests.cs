using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Http.Middleware;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Server.Tests.Http;

/// <summary>Exceptions become answers in one place; a client that has gone gets none, whatever had been sent.</summary>
public sealed class ProblemWriterTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_that_goes_away_is_no_defect(bool started)
    {
        var context = Context(started);
        context.RequestAborted = new CancellationToken(canceled: true);
        await new ProblemWriter(_ => throw new OperationCanceledException(), NullLogger<ProblemWriter>.Instance).InvokeAsync(context);
        Assert.True(RequestRecord.Of(context).ClientGone);
        Assert.Equal(0, context.Response.Body.Length);
    }

    [Fact]
    public async Task A_cancellation_that_is_not_the_clients_is_the_deadline()
    {
        var context = Context(started: false);
        await new ProblemWriter(_ => throw new OperationCanceledException(), NullLogger<ProblemWriter>.Instance).InvokeAsync(context);
        Assert.Equal(504, context.Response.StatusCode);
    }

    [Fact]
    public async Task A_defect_says_its_request_and_nothing_else()
    {
        var context = Context(started: false);
        await new ProblemWriter(_ => throw new InvalidOperationException("secret at /path"), NullLogger<ProblemWriter>.Instance).InvokeAsync(context);
        context.Response.Body.Position = 0;
        var body = await new StreamReader(context.Response.Body).ReadToEndAsync(TestContext.Current.CancellationToken);
        Assert.Equal((500, "application/problem+json"), (context.Response.StatusCode, context.Response.ContentType));
        Assert.Contains("id-1", body, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0.2, "1")]
    [InlineData(2.1, "3")]
    public async Task Retry_after_is_whole_seconds_rounded_up(double seconds, string header)
    {
        var context = Context(started: false);
        var full = new InferenceException(ErrorCode.QueueFull, $"The queue is full.") { RetryAfter = TimeSpan.FromSeconds(seconds) };
        await new ProblemWriter(_ => throw full, NullLogger<ProblemWriter>.Instance).InvokeAsync(context);
        Assert.Equal((429, header), (context.Response.StatusCode, context.Response.Headers.RetryAfter.ToString()));
    }

    private static DefaultHttpContext Context(bool started)
    {
        var context = new DefaultHttpContext { RequestServices = new ServiceCollection().AddSingleton(new Limits()).BuildServiceProvider() };
        context.Features.Set(new RequestRecord("id-1"));
        context.Features.Set<IHttpResponseFeature>(new Response(started));
        context.Response.Body = new MemoryStream();
        return context;
    }

    /// <summary>As Kestrel's: what has been sent cannot be changed.</summary>
    private sealed class Response(bool started) : IHttpResponseFeature
    {
        private int status = 200;

        public int StatusCode
        {
            get => status;
            set => status = started ? throw new InvalidOperationException("The response has already started.") : value;
        }

        public string? ReasonPhrase { get; set; }

        public IHeaderDictionary Headers { get; set; } = new HeaderDictionary();

        public Stream Body { get; set; } = Stream.Null;

        public bool HasStarted => started;

        public void OnStarting(Func<object, Task> callback, object state)
        {
        }

        public void OnCompleted(Func<object, Task> callback, object state)
        {
        }
    }
}
