namespace InferenceServer.Benchmarks.Server;

/// <summary>The names of the server's settings and of its paths and headers that the benchmarks use: all in this file.</summary>
internal static class ServerSettings
{
    /// <summary>Most tokens that may wait.</summary>
    public const string MaxWaitingTokens = "Queue:MaxWaitingTokens";

    /// <summary>Deadline of a request in seconds.</summary>
    public const string RequestTimeoutSeconds = "Limits:RequestTimeoutSeconds";

    /// <summary>The header with a request's priority, <c>interactive</c> or <c>bulk</c>.</summary>
    public const string PriorityHeader = "x-priority";

    /// <summary>Answers 200 when all models are loaded.</summary>
    public const string ReadyPath = "/health/ready";

    /// <summary>Vectors of texts.</summary>
    public static string EmbeddingsPath(string model) => $"/api/models/{model}/embeddings";

    /// <summary>Token ids of texts.</summary>
    public static string TokenizePath(string model) => $"/api/models/{model}/tokenize";

    /// <summary>Attention of a text.</summary>
    public static string AttentionPath(string model) => $"/api/models/{model}/attention";
}
