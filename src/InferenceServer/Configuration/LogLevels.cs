using Serilog.Core;
using Serilog.Events;

namespace InferenceServer.Configuration;

/// <summary><c>Logging:LogLevel:{category}</c> as Serilog's levels.</summary>
internal static class LogLevels
{
    /// <summary>Levels by category; null is the default one.</summary>
    public static IEnumerable<(string? Category, LogEventLevel Level)> Read(IConfiguration configuration)
    {
        foreach (var setting in configuration.GetSection("Logging:LogLevel").GetChildren())
        {
            if (Enum.TryParse<LogLevel>(setting.Value, ignoreCase: true, out var level) && Enum.IsDefined(level))
            {
                yield return (setting.Key.Equals("Default", StringComparison.OrdinalIgnoreCase) ? null : setting.Key, Level(level));
            }
        }
    }

    /// <summary>Reports values that are no level.</summary>
    public static void Check(IConfiguration configuration, List<string> errors)
    {
        foreach (var setting in configuration.GetSection("Logging:LogLevel").GetChildren())
        {
            if (!Enum.TryParse<LogLevel>(setting.Value, ignoreCase: true, out var level) || !Enum.IsDefined(level))
            {
                errors.Add($"{setting.Path} is '{setting.Value}', expected one of {string.Join(", ", Enum.GetNames<LogLevel>())}.");
            }
        }
    }

    private static LogEventLevel Level(LogLevel level) => level switch
    {
        LogLevel.Trace => LogEventLevel.Verbose,
        LogLevel.Debug => LogEventLevel.Debug,
        LogLevel.Information => LogEventLevel.Information,
        LogLevel.Warning => LogEventLevel.Warning,
        LogLevel.Error => LogEventLevel.Error,
        LogLevel.Critical => LogEventLevel.Fatal,
        _ => LevelAlias.Off,
    };
}
