using System.Text.Json.Serialization;

namespace InferenceServer.Benchmarks.Client;

/// <summary>What a client process does; it travels as one JSON argument.</summary>
internal sealed record LoadOptions
{
    /// <summary>Port of the server on 127.0.0.1.</summary>
    public required int Port { get; init; }

    /// <summary>Process id of the server, whose processor time is read at both ends of the measured time.</summary>
    public required int ServerProcessId { get; init; }

    /// <summary>Path and query of the requests, which are POSTs.</summary>
    public required string Path { get; init; }

    /// <summary>A file with one JSON body a line; they are sent in turn.</summary>
    public required string BodiesFile { get; init; }

    /// <summary>Texts in each body.</summary>
    public int TextsPerRequest { get; init; } = 1;

    /// <summary>Further header lines.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();

    /// <summary>Closed loop: connections that each send the next request when the last was answered. Open loop: most connections.</summary>
    public int Connections { get; init; } = 1;

    /// <summary>Milliseconds between an answer and the next request of a closed loop.</summary>
    public double PauseMilliseconds { get; init; }

    /// <summary>Requests a second of an open loop (Poisson arrivals, fixed seed); 0 is a closed loop.</summary>
    public double Rate { get; init; }

    /// <summary>Open loop: the share of refused requests that are sent again on their connection after their Retry-After, once.</summary>
    public double RetryShare { get; init; }

    /// <summary>Seconds of load before the measured time.</summary>
    public double WarmUpSeconds { get; init; } = 1;

    /// <summary>Seconds that are measured.</summary>
    public double Seconds { get; init; } = 3;
}

/// <summary>What a client process measured.</summary>
[JsonNumberHandling(JsonNumberHandling.AllowNamedFloatingPointLiterals)]
internal sealed record LoadResult
{
    /// <summary>Length of the measured time in seconds.</summary>
    public required double Seconds { get; init; }

    /// <summary>
    /// Texts of the requests answered with 200, a second. Closed loop: a request that began before the measured time or ended after it counts
    /// by the part of it that lies inside. Open loop: answers that came in the measured time.
    /// </summary>
    public required double TextsPerSecond { get; init; }

    /// <summary>Milliseconds from the request (open loop: from its arrival time) to the end of its answer, 200 only, of the requests in <see cref="Statuses"/>: [p50, p95, p99, largest].</summary>
    public required double[] Milliseconds { get; init; }

    /// <summary>
    /// Requests by status; 0 is a connection that broke or could not be opened. Closed loop: those that lie at least partly in the measured time.
    /// Open loop: those whose answers came in it.
    /// </summary>
    public required SortedDictionary<int, long> Statuses { get; init; }

    /// <summary>Answers with 200 of the whole run, the time before and after the measured time included.</summary>
    public required long AllAnswers { get; init; }

    /// <summary>Answers with 429 that had no Retry-After, in the whole run.</summary>
    public required long WithoutRetryAfter { get; init; }

    /// <summary>Mean seconds of Retry-After.</summary>
    public required double MeanRetryAfter { get; init; }

    /// <summary>Requests sent again after their Retry-After, whose second answer has come.</summary>
    public required long SentAgain { get; init; }

    /// <summary>Those that were not refused again.</summary>
    public required long TakenThen { get; init; }

    /// <summary>Open loop: arrivals that found every connection busy and had to wait in the client.</summary>
    public required long WaitedForConnection { get; init; }

    /// <summary>Processor seconds of the client process in the measured time.</summary>
    public required double ClientProcessorSeconds { get; init; }

    /// <summary>Processor seconds of the server process in the measured time.</summary>
    public required double ServerProcessorSeconds { get; init; }

    /// <summary>The client's processor time as a share of all cores' time.</summary>
    [JsonIgnore]
    public double ClientShare => ClientProcessorSeconds / (Seconds * Environment.ProcessorCount);

    /// <summary>Texts a second for each second of all cores that the client left over: what the server would do if the client ran elsewhere.</summary>
    [JsonIgnore]
    public double TextsPerSecondWithoutClient => TextsPerSecond / (1 - ClientShare);

    /// <summary>Answers with a 5xx status.</summary>
    [JsonIgnore]
    public long ServerErrors => Statuses.Where(s => s.Key >= 500).Sum(s => s.Value);

    /// <summary>The statuses in one line.</summary>
    [JsonIgnore]
    public string StatusLine => string.Join(", ", Statuses.Select(s => $"{(s.Key == 0 ? "broken" : s.Key)}: {s.Value}"));
}
