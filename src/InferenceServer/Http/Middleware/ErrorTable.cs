using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Http.Middleware;

/// <summary>One row of the table of errors.</summary>
/// <param name="Code">The code that the engine throws.</param>
/// <param name="Status">HTTP status.</param>
/// <param name="Name">Short name on the wire; <c>type</c> is <c>urn:inference-server:error:{name}</c>.</param>
/// <param name="Title">What a person reads first.</param>
internal sealed record ErrorRow(ErrorCode Code, int Status, string Name, string Title);

/// <summary>The one table from codes of errors to statuses (RFC 9457 problem details, RFC 9110 statuses).</summary>
internal static class ErrorTable
{
    /// <summary>All rows, one a code.</summary>
    public static IReadOnlyList<ErrorRow> Rows { get; } =
    [
        new(ErrorCode.Malformed, StatusCodes.Status400BadRequest, "malformed", "The request cannot be read"),
        new(ErrorCode.Unauthorized, StatusCodes.Status401Unauthorized, "unauthorized", "Credentials are missing or wrong"),
        new(ErrorCode.UnknownModel, StatusCodes.Status404NotFound, "unknown-model", "There is no such model"),
        new(ErrorCode.NotLoaded, StatusCodes.Status409Conflict, "not-loaded", "The model is not loaded"),
        new(ErrorCode.TooLarge, StatusCodes.Status413PayloadTooLarge, "too-large", "The request or its answer is too large"),
        new(ErrorCode.Unprocessable, StatusCodes.Status422UnprocessableEntity, "unprocessable", "The request cannot be served"),
        new(ErrorCode.QueueFull, StatusCodes.Status429TooManyRequests, "queue-full", "The queue is full"),
        new(ErrorCode.ClientGone, StatusCodes.Status499ClientClosedRequest, "client-gone", "The client has gone"),
        new(ErrorCode.Internal, StatusCodes.Status500InternalServerError, "internal", "The server failed"),
        new(ErrorCode.NotFinite, StatusCodes.Status500InternalServerError, "not-finite", "The model gave values that are no numbers"),
        new(ErrorCode.Unavailable, StatusCodes.Status503ServiceUnavailable, "unavailable", "The server or the model is not ready"),
        new(ErrorCode.DeadlinePassed, StatusCodes.Status504GatewayTimeout, "deadline-passed", "The deadline passed"),
    ];

    /// <summary>Errors of HTTP itself, which no part of the engine throws.</summary>
    private static readonly (int Status, string Name, string Title)[] Protocol =
    [
        (StatusCodes.Status404NotFound, "not-found", "There is nothing here"),
        (StatusCodes.Status405MethodNotAllowed, "method-not-allowed", "The method is not allowed here"),
        (StatusCodes.Status415UnsupportedMediaType, "unsupported-media-type", "The body's media type or encoding is not supported"),
        (StatusCodes.Status408RequestTimeout, "request-timeout", "The request was sent too slowly"),
        (StatusCodes.Status431RequestHeaderFieldsTooLarge, "headers-too-large", "The request's headers are too large"),
    ];

    /// <summary>The row of a code.</summary>
    public static ErrorRow Row(ErrorCode code) => Rows.First(r => r.Code == code);

    /// <summary>The status of a code.</summary>
    public static int Status(ErrorCode code) => Row(code).Status;

    /// <summary>Name and title of a status that HTTP itself gave (no route, wrong method, wrong media type).</summary>
    public static (string Name, string Title) OfStatus(int status)
    {
        foreach (var protocol in Protocol)
        {
            if (protocol.Status == status)
            {
                return (protocol.Name, protocol.Title);
            }
        }

        var row = Rows.FirstOrDefault(r => r.Status == status) ?? Row(status >= 500 ? ErrorCode.Internal : ErrorCode.Malformed);
        return (row.Name, row.Title);
    }
}
