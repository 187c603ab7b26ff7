using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Http.Middleware;

/// <summary>
/// A refusal that the HTTP side itself gives, in the dialect's own words: nothing of it is rendered. The engine's is
/// <see cref="InferenceException"/>.
/// </summary>
internal sealed class RequestException(ErrorCode code, string detail, string? field = null) : Exception(detail)
{
    /// <summary>What went wrong.</summary>
    public ErrorCode Code { get; } = code;

    /// <summary>The field or header at fault, as the client wrote it; null where none is.</summary>
    public string? Field { get; } = field;

    /// <summary>Every field at fault where several are; else empty.</summary>
    public IReadOnlyList<ProblemError> Errors { get; init; } = [];

    /// <summary>A request that can be read and not be served.</summary>
    public static RequestException Unprocessable(string field, string detail) => new(ErrorCode.Unprocessable, detail, field);
}
