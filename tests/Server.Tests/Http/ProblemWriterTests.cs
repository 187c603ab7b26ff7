using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Http.Middleware;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
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

    [Fact]
    public async Task A_defect_after_the_client_has_gone_is_in_the_log()
    {
        var log = new ErrorLog();
        var context = Context(started: false);
        context.RequestAborted = new CancellationToken(canceled: true);
        await new ProblemWriter(_ => throw new InvalidOperationException("a defect"), log).InvokeAsync(context);
        Assert.True(RequestRecord.Of(context).ClientGone);
        Assert.Equal("a defect", Assert.Single(log.Errors).Message);
    }

    [Fact]
    public async Task What_pipes_say_of_a_client_that_has_gone_is_no_defect()
    {
        var log = new ErrorLog();
        var context = Context(started: false);
        context.RequestAborted = new CancellationToken(canceled: true);
        await new ProblemWriter(
            async _ =>
            {
                var pipe = new System.IO.Pipelines.Pipe();
                await pipe.Reader.CompleteAsync();
                await pipe.Reader.ReadAsync(); // an InvalidOperationException of the pipe
            },
            log).InvokeAsync(context);
        Assert.True(RequestRecord.Of(context).ClientGone);
        Assert.Empty(log.Errors);
    }

    [Fact]
    public async Task Memory_that_is_short_is_503_and_to_be_tried_again()
    {
        var context = Context(started: false);
        await new ProblemWriter(_ => throw new InsufficientMemoryException(), NullLogger<ProblemWriter>.Instance).InvokeAsync(context);
        Assert.Equal((503, "1"), (context.Response.StatusCode, context.Response.Headers.RetryAfter.ToString()));
    }

    [Fact]
    public async Task A_body_that_comes_too_slowly_is_told_in_our_words()
    {
        var context = Context(started: false);
        await new ProblemWriter(_ => throw new BadHttpRequestException("Reading the request body timed out due to data arriving too slowly. See MinRequestBodyDataRate.", 408), NullLogger<ProblemWriter>.Instance).InvokeAsync(context);
        context.Response.Body.Position = 0;
        var body = await new StreamReader(context.Response.Body).ReadToEndAsync(TestContext.Current.CancellationToken);
        Assert.Equal((408, "application/problem+json"), (context.Response.StatusCode, context.Response.ContentType));
        Assert.Contains("request-timeout", body, StringComparison.Ordinal);
        Assert.Contains("1024 bytes a second (setting Limits:MinBytesPerSecond)", body, StringComparison.Ordinal);
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

    private sealed class ErrorLog : ILogger<ProblemWriter>
    {
        public List<Exception> Errors { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Errors.Add(exception!);
    }
}
