using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Endpoints;

/// <summary>One row of the table of errors.</summary>
/// <param name="Kind">The kind that the code throws.</param>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">Short name on the wire; <c>type</c> is <c>urn:inference-server:error:{code}</c>.</param>
/// <param name="Title">What a person reads first.</param>
internal sealed record ErrorRow(ErrorKind Kind, int Status, string Code, string Title);

/// <summary>The one table from kinds of errors to statuses (RFC 9457 problem details, RFC 9110 statuses).</summary>
internal static class ErrorTable
{
    /// <summary>All rows, one a kind.</summary>
    public static IReadOnlyList<ErrorRow> Rows { get; } =
    [
        new(ErrorKind.Malformed, StatusCodes.Status400BadRequest, "malformed", "The request cannot be read"),
        new(ErrorKind.Unauthorized, StatusCodes.Status401Unauthorized, "unauthorized", "Credentials are missing or wrong"),
        new(ErrorKind.UnknownModel, StatusCodes.Status404NotFound, "unknown-model", "There is no such model"),
        new(ErrorKind.NotLoaded, StatusCodes.Status409Conflict, "not-loaded", "The model is not loaded"),
        new(ErrorKind.TooLarge, StatusCodes.Status413PayloadTooLarge, "too-large", "The request or its answer is too large"),
        new(ErrorKind.Unprocessable, StatusCodes.Status422UnprocessableEntity, "unprocessable", "The request cannot be served"),
        new(ErrorKind.QueueFull, StatusCodes.Status429TooManyRequests, "queue-full", "The queue is full"),
        new(ErrorKind.ClientGone, StatusCodes.Status499ClientClosedRequest, "client-gone", "The client has gone"),
        new(ErrorKind.Internal, StatusCodes.Status500InternalServerError, "internal", "The server failed"),
        new(ErrorKind.Unavailable, StatusCodes.Status503ServiceUnavailable, "unavailable", "The server or the model is not ready"),
        new(ErrorKind.DeadlinePassed, StatusCodes.Status504GatewayTimeout, "deadline-passed", "The deadline passed"),
    ];

    /// <summary>Errors of HTTP itself, which no part of the engine throws.</summary>
    private static readonly (int Status, string Code, string Title)[] Protocol =
    [
        (StatusCodes.Status404NotFound, "not-found", "There is nothing here"),
        (StatusCodes.Status405MethodNotAllowed, "method-not-allowed", "The method is not allowed here"),
        (StatusCodes.Status415UnsupportedMediaType, "unsupported-media-type", "The body's media type is not supported"),
        (StatusCodes.Status408RequestTimeout, "request-timeout", "The request was sent too slowly"),
        (StatusCodes.Status431RequestHeaderFieldsTooLarge, "headers-too-large", "The request's headers are too large"),
    ];

    /// <summary>The row of a kind.</summary>
    public static ErrorRow Row(ErrorKind kind) => Rows.First(r => r.Kind == kind);

    /// <summary>The status of a kind.</summary>
    public static int Status(ErrorKind kind) => Row(kind).Status;

    /// <summary>Code and title of a status that HTTP itself gave (no route, wrong method, wrong media type).</summary>
    public static (string Code, string Title) OfStatus(int status)
    {
        foreach (var row in Protocol)
        {
            if (row.Status == status)
            {
                return (row.Code, row.Title);
            }
        }

        var kind = Rows.FirstOrDefault(r => r.Status == status) ?? Row(status >= 500 ? ErrorKind.Internal : ErrorKind.Malformed);
        return (kind.Code, kind.Title);
    }
}
