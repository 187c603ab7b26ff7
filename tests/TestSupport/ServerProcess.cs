using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace InferenceServer.TestSupport;

/// <summary>The real program in a process of its own, on a port of its own, with all that it wrote.</summary>
public sealed partial class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(90);
    private readonly Process process;
    private readonly List<string> output = [];
    private TaskCompletionSource written = new(TaskCreationOptions.RunContinuationsAsynchronously); // replaced at every line
    private readonly TaskCompletionSource<Uri> listening = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ServerProcess(ProcessStartInfo start)
    {
        process = new Process { StartInfo = start, EnableRaisingEvents = true };
        process.OutputDataReceived += (_, line) => Take(line.Data);
        process.ErrorDataReceived += (_, line) => Take(line.Data);
        process.Exited += (_, _) => listening.TrySetException(new InvalidOperationException("The server ended at start:\n" + Log));
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    /// <summary>Speaks to the server.</summary>
    public HttpClient Client { get; private set; } = new();

    /// <summary>Where it listens.</summary>
    public Uri Address => listening.Task.Result;

    /// <summary>Where it listens for probes alone (<c>Health:Url</c>), once the models are loaded.</summary>
    public Uri HealthAddress => new(HealthAlone().Match(Log).Groups[1].Value);

    /// <summary>All lines so far.</summary>
    public string Log
    {
        get
        {
            lock (output)
            {
                return string.Join('\n', output);
            }
        }
    }

    /// <summary>The first line that is asked for, once it is there.</summary>
    public async Task<string> LineAsync(Func<string, bool> isIt)
    {
        while (true)
        {
            Task next;
            lock (output)
            {
                if (output.Find(line => isIt(line)) is { } found)
                {
                    return found;
                }

                next = written.Task;
            }

            try
            {
                await next.WaitAsync(StartLimit);
            }
            catch (TimeoutException)
            {
                throw new TimeoutException($"No such line within {StartLimit.TotalSeconds} s:\n{Log}");
            }
        }
    }

    /// <summary>Exit code, once it ended.</summary>
    public int ExitCode => process.ExitCode;

    /// <summary>Most resident memory so far in MiB.</summary>
    public double MostResidentMiB
    {
        get
        {
            process.Refresh();
            return process.PeakWorkingSet64 / 1024.0 / 1024.0;
        }
    }

    /// <summary>Processor time used so far.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            process.Refresh();
            return process.TotalProcessorTime;
        }
    }

    /// <summary>Starts the server and waits until it is ready.</summary>
    public static async Task<ServerProcess> StartAsync(
        string models, IReadOnlyDictionary<string, string?>? environment = null, IEnumerable<string>? arguments = null, string? program = null, string? folder = null, bool ready = true)
    {
        var server = Spawn(["--urls", "http://127.0.0.1:0", "--models", models, .. arguments ?? []], environment, program, folder);
        try
        {
            var address = await server.listening.Task.WaitAsync(StartLimit);
            server.Client = new HttpClient { BaseAddress = address, Timeout = TimeSpan.FromSeconds(100) };
            if (ready)
            {
                await server.ReadyAsync();
            }

            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Executes a program as it is, waits until it is ready at <paramref name="address"/>.</summary>
    public static async Task<ServerProcess> ExecuteAsync(IEnumerable<string> command, IReadOnlyDictionary<string, string?> environment, string folder, Uri address)
    {
        var words = command.ToArray();
        var server = Spawn(words[1..], environment, words[0], folder);
        _ = server.listening.Task.ContinueWith(t => t.Exception, TaskScheduler.Default);
        server.Client = new HttpClient { BaseAddress = address };
        try
        {
            await server.ReadyAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs the program to its end: exit code and everything it wrote.</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(
        IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null, string? folder = null)
    {
        await using var server = Spawn([.. arguments], environment, null, folder);
        _ = server.listening.Task.ContinueWith(t => t.Exception, TaskScheduler.Default);
        await server.EndedAsync();
        return (server.ExitCode, server.Log);
    }

    /// <summary>Waits until /health/ready answers 200.</summary>
    public async Task ReadyAsync()
    {
        var start = Stopwatch.GetTimestamp();
        while (true)
        {
            var body = "";
            try
            {
                using var answer = await Client.GetAsync("/health/ready");
                if (answer.StatusCode == HttpStatusCode.OK)
                {
                    return;
                }

                body = await answer.Content.ReadAsStringAsync();
            }
            catch (HttpRequestException) when (!process.HasExited)
            {
                // It does not listen yet.
            }

            if (Stopwatch.GetElapsedTime(start) > StartLimit)
            {
                throw new TimeoutException($"Not ready after {StartLimit.TotalSeconds} s: {body}\n{Log}");
            }

            await Task.Delay(20);
        }
    }

    /// <summary>Sends SIGTERM (15), SIGINT (2, what Ctrl-C sends) or another signal.</summary>
    public void Signal(int signal)
    {
        if (Kill(process.Id, signal) != 0)
        {
            throw new InvalidOperationException($"The process cannot be signalled{(process.HasExited ? $": it ended with {ExitCode}" : "")}. Its last lines:\n{string.Join('\n', Log.Split('\n').TakeLast(20))}");
        }
    }

    /// <summary>Waits for the end of the process and of its output.</summary>
    public Task EndedAsync() => EndedWithinAsync(StartLimit);

    /// <summary>Waits for the end of the process and of its output, which must come in that time.</summary>
    public async Task EndedWithinAsync(TimeSpan time)
    {
        using var limit = new CancellationTokenSource(time);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"The process did not end in {time.TotalSeconds} s:\n{Log}");
        }
    }

    /// <summary>No exception and no stack trace was written so far.</summary>
    public void AssertCleanLog()
    {
        var log = Log;
        Assert.DoesNotMatch(StackTrace(), log);
        Assert.DoesNotContain("Unhandled exception", log, StringComparison.OrdinalIgnoreCase);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        if (!process.HasExited)
        {
            _ = Kill(process.Id, 15);
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            try
            {
                await process.WaitForExitAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
            }
        }

        _ = listening.Task.Exception;
        process.Dispose();
    }

    private static ServerProcess Spawn(IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment, string? program, string? folder)
    {
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder ?? Repository.Root,
        };
        start.ArgumentList.Add(program ?? Repository.Program);
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
        {
            start.Environment[name] = value;
        }

        return new ServerProcess(start);
    }

    private void Take(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (output)
        {
            output.Add(line);
            written.SetResult();
            written = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        if (AddressLine().Match(line) is { Success: true } match && int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) != 0)
        {
            listening.TrySetResult(new Uri($"http://127.0.0.1:{match.Groups[1].Value}"));
        }
    }

    [GeneratedRegex(@"http://127\.0\.0\.1:(\d+)")]
    private static partial Regex AddressLine();

    [GeneratedRegex(@"health alone\s+(\S+)/health/ready")]
    private static partial Regex HealthAlone();

    [GeneratedRegex(@"^\s+at [\w.<>`]+\(|\b\w+Exception\b", RegexOptions.Multiline)]
    private static partial Regex StackTrace();

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);
}
