using System.Globalization;
using InferenceServer.Configuration;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting.Compact;

namespace InferenceServer.Hosting;

/// <summary>
/// Serilog in two stages: a logger that works before any setting is read, so that nothing that goes wrong at the start is lost, then the
/// one that the settings ask for.
/// </summary>
internal static class ServerLog
{
    private const string Template = "{Timestamp:HH:mm:ss.fff} {Level:u3} {Message:lj}{NewLine}{Exception}";

    /// <summary>Stage one.</summary>
    public static void Start() =>
        Log.Logger = Written(new LoggerConfiguration().MinimumLevel.Is(LogEventLevel.Warning), LogSettings.RunsInContainer ? LogFormat.Json : LogFormat.Text).CreateLogger();

    /// <summary>Stage two: format and levels as set; the framework's own chatter from Warning on unless its level is set.</summary>
    public static void AddServerLog(this WebApplicationBuilder builder, LogSettings settings)
    {
        var configuration = new LoggerConfiguration().MinimumLevel.Is(LogEventLevel.Information)
            .MinimumLevel.Override("Microsoft", LogEventLevel.Warning)
            .MinimumLevel.Override("System", LogEventLevel.Warning)
            .MinimumLevel.Override("Microsoft.Extensions.Hosting.Internal.Host", LevelAlias.Off) // a start that fails is told in one line, by ServerHost
            .Filter.ByExcluding(IsExpected);
        foreach (var (category, level) in LogLevels.Read(builder.Configuration))
        {
            configuration = category is null ? configuration.MinimumLevel.Is(level) : configuration.MinimumLevel.Override(category, level);
        }

        Log.Logger = Written(configuration, settings.Format).CreateLogger();
        builder.Logging.ClearProviders();
        builder.Services.AddSerilog(dispose: true);
    }

    private static LoggerConfiguration Written(LoggerConfiguration configuration, LogFormat format) => format == LogFormat.Json
        ? configuration.WriteTo.Console(new RenderedCompactJsonFormatter())
        : configuration.WriteTo.Console(outputTemplate: Template, formatProvider: CultureInfo.InvariantCulture);

    /// <summary>What Kestrel notes of connections that were cut on purpose is no defect: at the end of the shutdown time-out, and where a body was no longer waited for.</summary>
    private static bool IsExpected(LogEvent e) =>
        (e.Exception is OperationCanceledException && e.Level < LogEventLevel.Error)
        || (e.Exception is InvalidOperationException && e.MessageTemplate.Text.Contains("automatic draining of the request body failed", StringComparison.Ordinal));
}
