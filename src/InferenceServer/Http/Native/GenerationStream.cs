using System.Buffers;
using System.Text.Json;
using InferenceServer.Engine.Generation;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary>
/// A generation as server-sent events (WHATWG HTML, 9.2): one a token, then one with usage and timings, then <c>[DONE]</c>. It begins with the first token: what fails before
/// that is answered as without a stream. A failure later is an event with problem details, and nothing follows.
/// </summary>
internal sealed class GenerationStream(GenerationRun run, InferenceCall call) : IResult
{
    /// <inheritdoc/>
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var cancellation = call.Context.Cancellation;
        await using var events = run.ReadAsync(cancellation).GetAsyncEnumerator(cancellation);
        var any = await events.MoveNextAsync();
        var response = httpContext.Response;
        response.ContentType = "text/event-stream; charset=utf-8";
        response.Headers.CacheControl = "no-cache";
        response.Headers["x-accel-buffering"] = "no"; // proxies must not gather the events
        try
        {
            for (; any; any = await events.MoveNextAsync())
            {
                var told = events.Current;
                await SendAsync(response, new GenerationStreamEvent(told.Index, told.Text, told.TokenId)
                {
                    Logprobs = told.Token is { Top: not null } token ? GenerationsEndpoint.Logprob(call.Model, token) : null,
                    FinishReason = told.Finish,
                }, cancellation);
            }

            await SendAsync(response, new GenerationStreamEnd(GenerationsEndpoint.UsageOf(run), GenerationsEndpoint.TimingsOf(run)), cancellation);
            response.BodyWriter.Write("data: [DONE]\n\n"u8);
            await response.BodyWriter.FlushAsync(cancellation);
        }
        catch (Exception e) when (response.HasStarted && !httpContext.RequestAborted.IsCancellationRequested)
        {
            var problem = ProblemWriter.Describe(httpContext, e, httpContext.RequestServices.GetRequiredService<ILogger<ProblemWriter>>());
            RequestRecord.Of(httpContext).Cut = problem.Status;
            response.BodyWriter.Write("data: "u8);
            response.BodyWriter.Write(JsonSerializer.SerializeToUtf8Bytes(problem, Problem.Json));
            response.BodyWriter.Write("\n\n"u8);
            await response.BodyWriter.FlushAsync(CancellationToken.None);
        }
    }

    private static async Task SendAsync<T>(HttpResponse response, T value, CancellationToken cancellation)
    {
        response.BodyWriter.Write("data: "u8);
        response.BodyWriter.Write(JsonSerializer.SerializeToUtf8Bytes(value, WireJson.Answers));
        response.BodyWriter.Write("\n\n"u8);
        if (await AnswerWriter.NobodyReadsAsync(response.BodyWriter, cancellation))
        {
            throw new OperationCanceledException("The client has gone.");
        }
    }
}

/// <summary>One token of a stream.</summary>
/// <param name="Index">The choice.</param>
/// <param name="Text">Text that became certain; empty while a character is incomplete or a stop text may follow.</param>
/// <param name="TokenId">The token; absent for the prompt that is given back.</param>
internal sealed record GenerationStreamEvent(int Index, string Text, int? TokenId)
{
    /// <summary>The token with its log-probability, where it was asked for.</summary>
    public TokenLogprob? Logprobs { get; init; }

    /// <summary>With the last token of a choice: why it has ended.</summary>
    public FinishReason? FinishReason { get; init; }
}

/// <summary>The last event of a stream.</summary>
/// <param name="Usage">What it cost.</param>
/// <param name="Timings">How long it took.</param>
internal sealed record GenerationStreamEnd(GenerationUsage Usage, GenerationAnswerTimings Timings);
