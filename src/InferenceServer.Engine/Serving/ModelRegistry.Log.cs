using InferenceServer.Engine.Diagnostics;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine.Serving;

public sealed partial class ModelRegistry
{
    [LoggerMessage(EventIds.Serving, LogLevel.Debug, "{Model} is ready after {Milliseconds} ms")]
    private static partial void LogReady(ILogger logger, string model, long milliseconds);

    [LoggerMessage(EventIds.Serving + 1, LogLevel.Error, "{Model} cannot be served: {Reason}")]
    private static partial void LogFailed(ILogger logger, string model, string reason);

    [LoggerMessage(EventIds.Serving + 2, LogLevel.Error, "{Model} cannot be served because of an unexpected error")]
    private static partial void LogUnexpected(ILogger logger, Exception exception, string model);

    [LoggerMessage(EventIds.Serving + 3, LogLevel.Information, "{Folder} is skipped: {Reason}")]
    private static partial void LogSkipped(ILogger logger, string folder, string reason);

    [LoggerMessage(EventIds.Serving + 4, LogLevel.Warning, "The models directory {Directory} does not exist; nothing is served. Name another with --models")]
    private static partial void LogNoDirectory(ILogger logger, string directory);

    [LoggerMessage(EventIds.Serving + 5, LogLevel.Warning, "The settings Models:{Folder} have no folder of that name in the models directory")]
    private static partial void LogSettingWithoutFolder(ILogger logger, string folder);

    [LoggerMessage(EventIds.Serving + 6, LogLevel.Warning, "{Model}: {Note}")]
    private static partial void LogNote(ILogger logger, string model, string note);

    [LoggerMessage(EventIds.Serving + 7, LogLevel.Information, "{Model} is unloaded")]
    private static partial void LogUnloaded(ILogger logger, string model);

    [LoggerMessage(EventIds.Serving + 8, LogLevel.Warning, "The cache directory cannot be written ({Reason}); what is measured is kept in memory alone")]
    private static partial void LogNothingKept(ILogger logger, string reason);

    [LoggerMessage(EventIds.Serving + 9, LogLevel.Warning, "{Model}: a variant of its graph cannot be opened; it is tried again {When}. The cause: {Reason}")]
    private static partial void LogCannotOpen(ILogger logger, string model, string when, string reason);

    [LoggerMessage(EventIds.Serving + 10, LogLevel.Warning, "Work inside ONNX Runtime has not ended and is left behind")]
    private static partial void LogLeftBehind(ILogger logger);
}
