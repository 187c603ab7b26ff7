using InferenceServer.Engine.Diagnostics;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class GraphQueue
{
    [LoggerMessage(EventIds.Batching, LogLevel.Warning, "A batch of {Rows} for {Model} failed; its rows run one by one")]
    private static partial void LogBatchFailed(ILogger logger, Exception exception, string model, int rows);

    [LoggerMessage(EventIds.Batching + 1, LogLevel.Error, "{Model} failed on a sequence of {Tokens} tokens")]
    private static partial void LogRunFailed(ILogger logger, Exception exception, string model, int tokens);

    [LoggerMessage(EventIds.Batching + 2, LogLevel.Error, "A lane of {Model} failed and goes on")]
    private static partial void LogLaneFailed(ILogger logger, Exception exception, string model);

    [LoggerMessage(EventIds.Batching + 3, LogLevel.Debug, "A run of {Rows} rows for {Model} was terminated: every client had gone")]
    private static partial void LogTerminated(ILogger logger, string model, int rows);

    [LoggerMessage(EventIds.Batching + 4, LogLevel.Error, "The queue of {Model} failed; what waited is answered with an error, and it goes on")]
    private static partial void LogLoopFailed(ILogger logger, Exception exception, string model);
}
