using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Text.Json;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using Microsoft.AspNetCore.Connections;

namespace InferenceServer.Http.Middleware;

/// <summary>
/// The one place where errors become answers: exceptions by <see cref="ErrorTable"/>, and the empty answers of routing (no such route, wrong
/// method, wrong media type) as problem details too. Nothing internal leaks: a defect answers its request id, the log has the rest.
/// </summary>
internal sealed partial class ProblemWriter(RequestDelegate next, ILogger<ProblemWriter> log)
{
    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
            if (!context.Response.HasStarted && context.Response.StatusCode >= 400 && context.Response.ContentType is null)
            {
                await WriteAsync(context, OfStatus(context, context.Response.StatusCode));
            }
        }
        catch (Exception exception)
        {
            await AnswerAsync(context, exception);
        }
    }

    private async Task AnswerAsync(HttpContext context, Exception exception)
    {
        var record = RequestRecord.Of(context);
        if (IsClientGone(context, exception))
        {
            record.ClientGone = true;
            if (exception is InvalidOperationException && !IsOfPipes(exception))
            {
                Defect(log, exception, record.Id); // nobody sees it but the log
            }

            if (exception is BadHttpRequestException)
            {
                ExceptionDispatchInfo.Throw(exception); // Kestrel's own: it then looks for no other request on the connection
            }

            return; // nobody reads an answer
        }

        var problem = Describe(context, exception, log);
        if (context.Response.HasStarted)
        {
            record.Cut = problem.Status;
            context.Abort(); // half an answer must not look whole
            return;
        }

        if (exception is InferenceException { RetryAfter: { } wait })
        {
            context.Response.Headers.RetryAfter = Math.Max(1, Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        }
        else if (problem.Status is StatusCodes.Status429TooManyRequests or StatusCodes.Status503ServiceUnavailable)
        {
            context.Response.Headers.RetryAfter = "1";
        }

        await WriteAsync(context, problem);
    }

    /// <summary>What an exception is as problem details; a defect is logged.</summary>
    public static Problem Describe(HttpContext context, Exception exception, ILogger<ProblemWriter> log)
    {
        var problem = ProblemOf(context, exception);
        if (problem.Status == StatusCodes.Status500InternalServerError && exception is not InferenceException { Code: ErrorCode.NotFinite })
        {
            Defect(log, exception, RequestRecord.Of(context).Id);
        }

        return problem;
    }

    private static Problem ProblemOf(HttpContext context, Exception exception) => exception switch
    {
        OutOfMemoryException => Of(context, ErrorCode.Unavailable, "There is not enough memory for this request beside the others that run. Try again in a moment, or send fewer or shorter inputs.", null),
        InferenceException e => OfEngine(context, e),
        RequestException e => Of(context, e.Code, e.Message, e.Field) with { Errors = e.Errors.Count > 0 ? e.Errors : null },
        OperationCanceledException when !context.RequestAborted.IsCancellationRequested => OfDeadline(context, RequestRecord.Of(context)),
        IOException { InnerException: OverflowException } => OfStatus(context, StatusCodes.Status400BadRequest, "The body cannot be read: a chunk's size is too large. Send the body's length, or smaller chunks."),
        BadHttpRequestException e => OfStatus(context, e.StatusCode, e.StatusCode is StatusCodes.Status413PayloadTooLarge or StatusCodes.Status408RequestTimeout ? null : e.Message),
        _ => Of(context, ErrorCode.Internal, $"A defect of the server kept it from answering; its log tells more under the request id {RequestRecord.Of(context).Id}.", null),
    };

    // A connection that breaks while a body is read shows as an input/output error, as a body without its end, or as a cancellation, whichever Kestrel sees first.
    private static bool IsClientGone(HttpContext context, Exception exception) => exception switch
    {
        ConnectionResetException or ConnectionAbortedException => true,
        BadHttpRequestException { StatusCode: StatusCodes.Status400BadRequest } e when e.Message.StartsWith("Unexpected end of request content", StringComparison.Ordinal) => true,
        OperationCanceledException or IOException or BadHttpRequestException or InvalidOperationException or InferenceException { Code: ErrorCode.ClientGone } => context.RequestAborted.IsCancellationRequested,
        _ => false,
    };

    // What Kestrel and its pipes say when a connection ends under those who read and write.
    private static bool IsOfPipes(Exception exception) =>
        exception.Source is { } source && (source.StartsWith("System.IO.Pipelines", StringComparison.Ordinal) || source.StartsWith("Microsoft.AspNetCore.Server.Kestrel", StringComparison.Ordinal));

    private static Problem OfEngine(HttpContext context, InferenceException error)
    {
        var names = ErrorNames.For(context);
        var problem = Of(context, error.Code, names.Detail(error), error.Argument is { } argument ? names.Of(argument) : null);
        return error.Errors.Count == 0 ? problem : problem with { Errors = [.. error.Errors.Select(e => new ProblemError(names.Of(e.Argument), names.Of(e.Text)))] };
    }

    private static Problem OfDeadline(HttpContext context, RequestRecord record) => Of(
        context,
        ErrorCode.DeadlinePassed,
        $"The request did not finish within {record.DeadlineName}. Send fewer or shorter inputs, or try again when the server is less busy.",
        null);

    private static Problem Of(HttpContext context, ErrorCode code, string detail, string? field)
    {
        var row = ErrorTable.Row(code);
        return Make(context, row.Status, row.Name, row.Title, detail, field);
    }

    private static Problem OfStatus(HttpContext context, int status, string? detail = null)
    {
        var (code, title) = ErrorTable.OfStatus(status);
        var limits = context.RequestServices.GetRequiredService<Limits>();
        return Make(context, status, code, title, detail ?? status switch
        {
            StatusCodes.Status400BadRequest when context.GetEndpoint() is null => $"The request is for the host '{context.Request.Host}', and the server does not answer for that name (setting AllowedHosts). Use a name that it answers for.",
            StatusCodes.Status408RequestTimeout => string.Create(CultureInfo.InvariantCulture, $"The body came more slowly than {limits.MinBytesPerSecond} bytes a second (setting Limits:MinBytesPerSecond). Send it faster, or in smaller requests."),
            StatusCodes.Status404NotFound => $"{context.Request.Path.ToUriComponent()} is no address of this server; Swagger UI at /swagger lists them.",
            StatusCodes.Status405MethodNotAllowed => $"{context.Request.Method} is not allowed here; allowed: {context.Response.Headers.Allow}.",
            StatusCodes.Status413PayloadTooLarge => $"The body is larger than {limits.MaxBodyBytes} bytes (setting Limits:MaxBodyBytes). Send fewer inputs a request.",
            StatusCodes.Status415UnsupportedMediaType => "The body must be JSON in UTF-8: send the header 'content-type: application/json'.",
            _ => title + ".",
        }, null);
    }

    private static Problem Make(HttpContext context, int status, string code, string title, string detail, string? field) => new()
    {
        Type = "urn:inference-server:error:" + code,
        Title = title,
        Status = status,
        Detail = detail,
        Field = field,
        RequestId = RequestRecord.Of(context).Id,
    };

    /// <summary>Writes problem details as the answer.</summary>
    public static async Task WriteAsync(HttpContext context, Problem problem)
    {
        context.Response.StatusCode = problem.Status;
        context.Response.ContentType = Problem.ContentType;
        context.Response.Headers.ContentEncoding = default; // of an answer that was begun and not sent
        var body = JsonSerializer.SerializeToUtf8Bytes(problem, Problem.Json);
        context.Response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await context.Response.Body.WriteAsync(body, CancellationToken.None); // to a client that has gone it is written into the void
        }
    }

    [LoggerMessage(110, LogLevel.Error, "A defect ended the request {RequestId}")]
    private static partial void Defect(ILogger logger, Exception exception, string requestId);
}
