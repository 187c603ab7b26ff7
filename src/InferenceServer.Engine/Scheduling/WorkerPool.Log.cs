using InferenceServer.Engine.Diagnostics;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class WorkerPool
{
    [LoggerMessage(EventIds.Scheduling, LogLevel.Warning, "A batch of {Rows} for {Model} failed; its rows run one by one")]
    private static partial void LogBatchFailed(ILogger logger, Exception exception, string model, int rows);

    [LoggerMessage(EventIds.Scheduling + 1, LogLevel.Error, "{Model} failed on a sequence of {Tokens} tokens")]
    private static partial void LogRunFailed(ILogger logger, Exception exception, string model, int tokens);

    [LoggerMessage(EventIds.Scheduling + 2, LogLevel.Error, "A worker failed on a batch of {Model} and goes on")]
    private static partial void LogWorkerFailed(ILogger logger, Exception exception, string model);

    [LoggerMessage(EventIds.Scheduling + 3, LogLevel.Debug, "A run of {Rows} rows for {Model} was terminated: every client had gone")]
    private static partial void LogTerminated(ILogger logger, string model, int rows);

    [LoggerMessage(EventIds.Scheduling + 6, LogLevel.Warning, "A run of {Rows} rows for {Model} took longer than {Seconds} s and was stopped")]
    private static partial void LogOverdue(ILogger logger, string model, int rows, double seconds);

    [LoggerMessage(EventIds.Scheduling + 4, LogLevel.Error, "A worker failed to find work and goes on")]
    private static partial void LogSchedulerFailed(ILogger logger, Exception exception);

    [LoggerMessage(EventIds.Scheduling + 5, LogLevel.Information, "{Model}: a run on {Threads} threads costs {A:0.###} ms + {B:0.####} ms a token + {C:0.#######} ms a token and token of its row")]
    private static partial void LogMeasured(ILogger logger, string model, int threads, double a, double b, double c);
}
