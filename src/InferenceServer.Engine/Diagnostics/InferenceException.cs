namespace InferenceServer.Engine.Diagnostics;

/// <summary>
/// A failure that is told to the client. The message names the field, the value's limit and the remedy; it never carries
/// a path, a stack trace or another internal.
/// </summary>
public sealed class InferenceException(ErrorKind kind, string message, string? field = null, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What went wrong.</summary>
    public ErrorKind Kind { get; } = kind;

    /// <summary>The field of the request that is at fault, as a path of the wire names (<c>inputs[3]</c>, <c>parameters.top_k</c>), or null.</summary>
    public string? Field { get; } = field;

    /// <summary>How long the client should wait before it tries again, where that is known.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>Valid JSON that cannot be served (422).</summary>
    public static InferenceException Unprocessable(string field, string message) => new(ErrorKind.Unprocessable, message, field);
}
