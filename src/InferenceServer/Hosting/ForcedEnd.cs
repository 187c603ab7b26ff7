using System.Diagnostics;
using InferenceServer.Configuration;
using Serilog;

namespace InferenceServer.Hosting;

/// <summary>
/// Ends the process when stopping takes longer than it may, whatever still runs: work inside ONNX Runtime that no flag ends, an output that nobody reads. It begins with the
/// signal to stop and waits for <see cref="Shutdown.DrainSeconds"/>, <see cref="Shutdown.TimeoutSeconds"/> and two seconds, in which an orderly stop would have ended.
/// </summary>
internal static partial class ForcedEnd
{
    /// <summary>The exit code of a process that was ended so.</summary>
    public const int ExitCode = 3;

    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan ForAnOrderlyExit = TimeSpan.FromSeconds(1);

    /// <summary>Watches over the end that <paramref name="lifetime"/> announces.</summary>
    public static void Watch(IHostApplicationLifetime lifetime, Shutdown settings, Microsoft.Extensions.Logging.ILogger log)
    {
        var limit = TimeSpan.FromSeconds(settings.DrainSeconds + settings.TimeoutSeconds) + Slack;
        lifetime.ApplicationStopping.Register(() => Start("end", () => End(limit, log)));
    }

    private static void End(TimeSpan limit, Microsoft.Extensions.Logging.ILogger log)
    {
        Thread.Sleep(limit);

        // What follows runs code that may wait for what hangs.
        Start("last end", () =>
        {
            Thread.Sleep(ForAnOrderlyExit);
            using var process = Process.GetCurrentProcess();
            process.Kill();
        });
        TookTooLong(log, limit.TotalSeconds);
        Log.CloseAndFlush();
        Environment.Exit(ExitCode);
    }

    private static void Start(string name, ThreadStart work) => new Thread(work) { IsBackground = true, Name = name }.Start();

    [LoggerMessage(125, LogLevel.Critical, "The server has not stopped within {Seconds} s and is ended by force")]
    private static partial void TookTooLong(Microsoft.Extensions.Logging.ILogger log, double seconds);
}
