using System.ComponentModel.DataAnnotations;

namespace InferenceServer.Configuration;

/// <summary>Section <c>Limits</c>: what one request may cost. Each protects the others who use the server at the same time.</summary>
internal sealed record Limits
{
    /// <summary>Largest request body in bytes. A body is read whole before it is parsed, so this bounds memory a connection; raise it for very long documents.</summary>
    [Range(1_024, 1_073_741_824)]
    public long MaxBodyBytes { get; init; } = 32 * 1024 * 1024;

    /// <summary>Most texts (or id lists, pairs, questions, documents) in one request. Bounds how long one request can occupy the queue; raise it for offline batch work.</summary>
    [Range(1, 1_000_000)]
    public int MaxInputs { get; init; } = 2_048;

    /// <summary>Most tokens of all inputs of one request together. Texts differ in length by orders of magnitude, so counting inputs alone would bound nothing.</summary>
    [Range(1, 1_000_000_000)]
    public long MaxTokens { get; init; } = 1_000_000;

    /// <summary>Most characters (UTF-16) of one text, looked at before it is tokenised. 0: by the model, 64 a token of its limit, at least 4,194,304, so that a book can still be cut or split into windows.</summary>
    [Range(0, 1_073_741_824)]
    public long MaxTextCharacters { get; init; }

    /// <summary>Most requests of more than 64 KiB that are tokenised at the same time; others wait. 0: as many as the process has cores. Each takes a core and several times its bytes; smaller requests never wait.</summary>
    [Range(0, 1_024)]
    public int MaxTokenizing { get; init; }

    /// <summary>Largest answer in bytes, estimated before the model runs. Attention grows with the square of the length: 144 heads at 512 tokens are half a gigabyte of JSON.</summary>
    [Range(1_024, 4_294_967_296)]
    public long MaxAnswerBytes { get; init; } = 256 * 1024 * 1024;

    /// <summary>Bytes that the bodies and answers of all requests may hold together; more are answered 429. 0: a thirty-second of the memory that the process may use, at least two of the largest bodies. The first 64 KiB of a request are not counted.</summary>
    [Range(0, 1_099_511_627_776)]
    public long MaxBytesInFlight { get; init; }

    /// <summary>Seconds that a client may fall behind <see cref="MinAnswerBytesPerSecond"/> while it takes its answer; then it is cut off. An answer that nobody reads holds its memory until then.</summary>
    [Range(0.01, 86_400)]
    public double AnswerTimeoutSeconds { get; init; } = 120;

    /// <summary>Bytes a second at which a client must take its answer in the long run: every byte that it has taken gives it that much more time. An answer of 256 MiB may take 34 minutes at 1 Mbit/s.</summary>
    [Range(1, 1_099_511_627_776)]
    public double MinAnswerBytesPerSecond { get; init; } = 131_072;

    /// <summary>Least bytes a second at which a client must send its body and take its answer, after ten seconds of grace; slower ones are cut off (a body with 408).</summary>
    [Range(1, 1_073_741_824)]
    public double MinBytesPerSecond { get; init; } = 1_024;

    /// <summary>Seconds after which a request is given up with 504. Set it just below the time-out of the proxy in front, so that the reason reaches the client.</summary>
    [Range(0.01, 86_400)]
    public double RequestTimeoutSeconds { get; init; } = 60;

    /// <summary>Most open connections; more are closed at once. Each costs memory before it has sent anything.</summary>
    [Range(1, 1_000_000)]
    public int MaxConnections { get; init; } = 4_096;

    /// <summary>Seconds in which a client must have sent its request's headers, the first counted from when the connection is accepted. Short, so that slow and silent clients cannot hold connections open.</summary>
    [Range(1, 600)]
    public double HeadersTimeoutSeconds { get; init; } = 15;

    /// <summary>Seconds that a connection may stay open between two requests. Longer than a proxy in front keeps its own idle connections (often 60), so that the proxy closes them and sends nothing into one that is closing.</summary>
    [Range(1, 3_600)]
    public double KeepAliveSeconds { get; init; } = 75;

    /// <summary>The deadline of a request.</summary>
    public TimeSpan RequestTimeout => TimeSpan.FromSeconds(RequestTimeoutSeconds);

    /// <summary>How far taking an answer may fall behind.</summary>
    public TimeSpan AnswerTimeout => TimeSpan.FromSeconds(AnswerTimeoutSeconds);
}

/// <summary>Section <c>Shutdown</c>: how the server ends.</summary>
internal sealed record Shutdown
{
    /// <summary>Seconds between the signal to stop and the end of listening, in which readiness already fails but requests are still taken: time for a load balancer to look away. 0 where nothing stands in front.</summary>
    [Range(0, 600)]
    public double DrainSeconds { get; init; }

    /// <summary>Seconds that running requests have to finish after that.</summary>
    [Range(0, 3_600)]
    public double TimeoutSeconds { get; init; } = 30;
}

/// <summary>Section <c>Compression</c>: answers in br or gzip for clients that take them (<c>accept-encoding</c>). Bodies of requests are decompressed always.</summary>
internal sealed record Compression
{
    /// <summary>Whether answers are compressed. Turn it off where a proxy in front does it, or where processor time is dearer than the network.</summary>
    public bool Answers { get; init; } = true;

    /// <summary>Smallest answer in bytes that is compressed: below it the work costs more than the network gains.</summary>
    [Range(0, 1_073_741_824)]
    public int MinAnswerBytes { get; init; } = 2_048;
}

/// <summary>Section <c>Logging</c>: what is logged and how it looks. <c>Logging:LogLevel:{category}</c> sets levels as everywhere in ASP.NET Core.</summary>
internal sealed record LogSettings
{
    /// <summary>How lines look: <c>text</c> for people, <c>json</c> (compact JSON, one event a line) for collectors. Default: json in a container, else text.</summary>
    public LogFormat Format { get; init; } = RunsInContainer ? LogFormat.Json : LogFormat.Text;

    /// <summary>True in the images of Microsoft and in those made from them.</summary>
    public static bool RunsInContainer => Environment.GetEnvironmentVariable("DOTNET_RUNNING_IN_CONTAINER") is "true" or "1";
}

/// <summary>How log lines look.</summary>
internal enum LogFormat
{
    /// <summary>For people.</summary>
    Text,

    /// <summary>Compact JSON, one event a line.</summary>
    Json,
}
