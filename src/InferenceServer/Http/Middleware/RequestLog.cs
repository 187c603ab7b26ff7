using System.Diagnostics;
using System.Globalization;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Http.Middleware;

/// <summary>Gives every request its id and writes its one line when it has ended. The line holds no text of the request.</summary>
internal sealed partial class RequestLog(RequestDelegate next, ILogger<RequestLog> log)
{
    private const int MaxIdLength = 128;

    public async Task InvokeAsync(HttpContext context)
    {
        var record = new RequestRecord(SaneId(context.Request.Headers["x-request-id"]) ?? Guid.CreateVersion7().ToString("N"));
        context.Features.Set(record);
        context.Response.Headers["x-request-id"] = record.Id;
        try
        {
            await next(context);
        }
        finally
        {
            record.ClientGone |= context.RequestAborted.IsCancellationRequested && record.Cut is null;
            Write(context, record);
        }
    }

    private void Write(HttpContext context, RequestRecord record)
    {
        var (method, path, status) = (context.Request.Method, context.Request.Path.ToUriComponent(), record.ClientGone ? ErrorTable.Status(ErrorCode.ClientGone) : record.Cut ?? context.Response.StatusCode);
        var elapsed = Math.Round(Stopwatch.GetElapsedTime(record.Started).TotalMilliseconds, 1);
        if (record.Cost is { } cost)
        {
            Inference(method, path, status, elapsed, record.Model, record.Task, record.Items, cost.Tokens, Math.Round(cost.Queue.TotalMilliseconds, 1), Math.Round(cost.Inference.TotalMilliseconds, 1), cost.BatchSize, record.Id);
        }
        else if (path.StartsWith("/health", StringComparison.Ordinal) || (status < 400 && context.GetEndpoint() is null))
        {
            Quiet(method, path, status, elapsed, record.Id); // probes and pages
        }
        else
        {
            Plain(method, path, status, elapsed, record.Id);
        }
    }

    /// <summary>A client's own id, when it is short and made of harmless characters.</summary>
    private static string? SaneId(string? id) =>
        id is { Length: > 0 and <= MaxIdLength } && id.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or ':') ? id : null;

    /// <summary>A header value in milliseconds.</summary>
    public static string Milliseconds(TimeSpan time) => time.TotalMilliseconds.ToString("0.###", CultureInfo.InvariantCulture);

    [LoggerMessage(100, LogLevel.Information, "{Method} {Path} {Status} {ElapsedMs} ms, model {Model}, task {Task}, items {Items}, tokens {Tokens}, queue {QueueMs} ms, inference {InferenceMs} ms, batch {Batch}, id {RequestId}")]
    private partial void Inference(string method, string path, int status, double elapsedMs, string? model, string? task, int items, long tokens, double queueMs, double inferenceMs, int batch, string requestId);

    [LoggerMessage(101, LogLevel.Information, "{Method} {Path} {Status} {ElapsedMs} ms, id {RequestId}")]
    private partial void Plain(string method, string path, int status, double elapsedMs, string requestId);

    [LoggerMessage(102, LogLevel.Debug, "{Method} {Path} {Status} {ElapsedMs} ms, id {RequestId}")]
    private partial void Quiet(string method, string path, int status, double elapsedMs, string requestId);
}
