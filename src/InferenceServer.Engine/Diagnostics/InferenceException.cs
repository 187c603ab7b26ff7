namespace InferenceServer.Engine.Diagnostics;

/// <summary>
/// A failure that is told to the client. The text names the argument, the value's limit and the remedy; it never carries a path,
/// a stack trace or another internal, nor a name of the wire or a setting: those are put in by the dialect that answers.
/// </summary>
public sealed class InferenceException(ErrorCode code, ErrorText text, Argument? argument = null, Exception? inner = null) : Exception(text.ToString(), inner)
{
    /// <summary>Most entries of <see cref="Errors"/>.</summary>
    public const int MaxErrors = 20;

    /// <summary>What went wrong.</summary>
    public ErrorCode Code { get; } = code;

    /// <summary>The message; <see cref="Exception.Message"/> is the same in the records' own names.</summary>
    public ErrorText Text { get; } = text;

    /// <summary>What of the request is at fault, the first where several things are; null where nothing is.</summary>
    public Argument? Argument { get; } = argument;

    /// <summary>Name of the option whose limit was hit (<c>nameof(QueueOptions.MaxSequenceOutputBytes)</c>), where it is one that can be set.</summary>
    public string? Limit { get; init; }

    /// <summary>How long the client should wait before it tries again, where that is known.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>All that is wrong, <see cref="MaxErrors"/> at most, where several arguments are; else empty.</summary>
    public IReadOnlyList<ArgumentError> Errors { get; init; } = [];

    /// <summary>A request that can be read and not be served.</summary>
    public static InferenceException Unprocessable(Argument argument, ErrorText text) => new(ErrorCode.Unprocessable, text, argument);

    /// <summary>A request of which one or more arguments cannot be served: the first is told, all are listed.</summary>
    public static InferenceException Unprocessable(IReadOnlyList<ArgumentError> errors) => new(ErrorCode.Unprocessable, errors[0].Text, errors[0].Argument)
    {
        Errors = errors.Count > 1 ? [.. errors.Take(MaxErrors)] : [],
    };
}
