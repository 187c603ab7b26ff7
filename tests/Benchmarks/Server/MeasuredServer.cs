using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Benchmarks.Client;

namespace InferenceServer.Benchmarks.Server;

/// <summary>The server in a process of its own, as it ships (one log line a request, into a file), and what the operating system says of it.</summary>
internal sealed partial class MeasuredServer : IDisposable
{
    private readonly Process process;
    private readonly string folder = Directory.CreateTempSubdirectory("benchmark-server-").FullName;

    private MeasuredServer(string models, IEnumerable<KeyValuePair<string, string>> settings, int port = 0)
    {
        var configuration = AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Debug{Path.DirectorySeparatorChar}", StringComparison.Ordinal) ? "Debug" : "Release";
        var program = Path.Combine(Repository.Root, "src", "InferenceServer", "bin", configuration, "net10.0", "InferenceServer.dll");

        // The shell only redirects the log, so that nobody spends time reading it, and then becomes the server.
        var start = new ProcessStartInfo("/bin/sh", ["-c", "exec \"$@\" >\"$LOG_FILE\" 2>&1", "sh", "dotnet", program, "--urls", $"http://127.0.0.1:{port}", "--models", models]);
        foreach (var (name, value) in settings)
        {
            start.ArgumentList.Add($"--{name}");
            start.ArgumentList.Add(value);
        }

        start.Environment["LOG_FILE"] = LogFile;
        start.Environment["Logging__LogLevel__Default"] = "Information";
        start.Environment["DOTNET_STARTUP_HOOKS"] = typeof(MeasuredServer).Assembly.Location;
        start.Environment[StartupHook.SocketVariable] = CountersSocket;
        process = Process.Start(start)!;
        AppDomain.CurrentDomain.ProcessExit += Stop;
    }

    /// <summary>Port on 127.0.0.1.</summary>
    public int Port { get; private set; }

    /// <summary>Process id.</summary>
    public int Id => process.Id;

    /// <summary>Seconds from the start of the process to the first 200 of readiness.</summary>
    public double ReadySeconds { get; private set; }

    /// <summary>For single requests: probes, tokenization. Load comes from client processes.</summary>
    public HttpClient Http { get; private set; } = new();

    /// <summary>Resident memory in MiB.</summary>
    public double ResidentMiB => Status("VmRSS:") / 1024.0;

    /// <summary>Threads of the process.</summary>
    public int Threads => (int)Status("Threads:");

    /// <summary>Open files, sockets among them.</summary>
    public int Handles => Directory.GetFileSystemEntries($"/proc/{Id}/fd").Length;

    /// <summary>Processor seconds used since the start.</summary>
    public double ProcessorSeconds
    {
        get
        {
            process.Refresh();
            return process.TotalProcessorTime.TotalSeconds;
        }
    }

    private string LogFile => Path.Combine(folder, "log");

    private string CountersSocket => Path.Combine(folder, "counters");

    /// <summary>Starts the server on a folder of models and waits until it is ready and has ended what it does of its own after that.</summary>
    public static async Task<MeasuredServer> StartAsync(string models, IEnumerable<KeyValuePair<string, string>>? settings = null)
    {
        if (!OperatingSystem.IsLinux())
        {
            throw new PlatformNotSupportedException("The benchmarks of the server read /proc: they run on Linux only.");
        }

        var server = new MeasuredServer(models, settings ?? []);
        try
        {
            await server.ReadyAsync(ServerSettings.ReadyPath);
            await server.QuietAsync();
            return server;
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    /// <summary>Starts the server on a folder of models and waits until one of them is ready, whatever the others do.</summary>
    public static async Task<MeasuredServer> StartForAsync(string model, string models, IEnumerable<KeyValuePair<string, string>> settings)
    {
        // The log tells the address late while a folder does not end to load.
        using var listener = new TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        var port = ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
        listener.Stop();
        var server = new MeasuredServer(models, settings, port) { Port = port };
        try
        {
            server.Http.BaseAddress = new Uri($"http://127.0.0.1:{port}");
            await server.ReadyAsync($"{ServerSettings.ReadyPath}/{model}");
            return server;
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    /// <summary>Asks the server to stop (SIGTERM); the seconds until the process has ended, a minute at most, and its exit code.</summary>
    public async Task<(double Seconds, int? ExitCode)> StopAsync()
    {
        var watch = Stopwatch.StartNew();
        using var kill = Process.Start("/bin/sh", ["-c", $"kill -TERM {Id}"]);
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        try
        {
            await process.WaitForExitAsync(limit.Token);
            return (watch.Elapsed.TotalSeconds, process.ExitCode);
        }
        catch (OperationCanceledException)
        {
            return (watch.Elapsed.TotalSeconds, null);
        }
    }

    /// <summary>A load of embeddings; the caller adds connections or rate, and times.</summary>
    public LoadOptions Load(string model, BodiesFile bodies) => new()
    {
        Port = Port,
        ServerProcessId = Id,
        Path = ServerSettings.EmbeddingsPath(model),
        BodiesFile = bodies.Path,
        TextsPerRequest = bodies.TextsPerRequest,
    };

    /// <summary>Bytes allocated on the managed heap since the start.</summary>
    public long AllocatedBytes()
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(CountersSocket));
        var buffer = new byte[32];
        return long.Parse(Encoding.ASCII.GetString(buffer, 0, socket.Receive(buffer)), CultureInfo.InvariantCulture);
    }

    /// <summary>Sends one request and returns its milliseconds; an exception when the answer is not 200.</summary>
    public async Task<double> PostAsync(string path, string body)
    {
        var watch = Stopwatch.StartNew();
        using var content = Json(body);
        using var answer = await Http.PostAsync(path, content);
        await answer.Content.LoadIntoBufferAsync();
        if (!answer.IsSuccessStatusCode)
        {
            throw new InvalidOperationException($"POST {path} answered {(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
        }

        return watch.Elapsed.TotalMilliseconds;
    }

    /// <summary>The token ids of texts, special tokens included.</summary>
    public async Task<int[][]> TokenizeAsync(string model, IReadOnlyList<string> texts)
    {
        using var content = Json(Texts.Body(texts));
        using var answer = await Http.PostAsync(ServerSettings.TokenizePath(model), content);
        answer.EnsureSuccessStatusCode();
        using var document = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
        return [.. document.RootElement.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32()).ToArray())];
    }

    /// <summary>Lines of the log that hold a text.</summary>
    public int LogLines(string text) => Log().Split('\n').Count(line => line.Contains(text, StringComparison.Ordinal));

    /// <inheritdoc/>
    public void Dispose()
    {
        AppDomain.CurrentDomain.ProcessExit -= Stop;
        Http.Dispose();
        Stop(null, EventArgs.Empty);
        process.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private static StringContent Json(string body) => new(body, new MediaTypeHeaderValue("application/json"));

    private async Task ReadyAsync(string path)
    {
        var watch = Stopwatch.StartNew();
        while (true)
        {
            if (process.HasExited || watch.Elapsed > TimeSpan.FromSeconds(120))
            {
                throw new InvalidOperationException($"The server {(process.HasExited ? "ended" : "is not ready after 120 s")}:\n{Log()}");
            }

            if (Port == 0 && Address().Match(Log()) is { Success: true } match && match.Groups[1].Value != "0")
            {
                Port = int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);
                Http.BaseAddress = new Uri($"http://127.0.0.1:{Port}");
            }

            if (Port != 0)
            {
                try
                {
                    using var answer = await Http.GetAsync(path);
                    if (answer.IsSuccessStatusCode)
                    {
                        ReadySeconds = watch.Elapsed.TotalSeconds;
                        return;
                    }
                }
                catch (HttpRequestException)
                {
                    // It does not listen yet.
                }
            }

            await Task.Delay(50);
        }
    }

    // Also when the benchmark is interrupted.
    private void Stop(object? sender, EventArgs e)
    {
        if (!process.HasExited)
        {
            process.Kill();
            process.WaitForExit();
        }
    }

    // Measuring how long runs take, for one.
    private async Task QuietAsync()
    {
        for (var second = 0; second < 60; second++)
        {
            var before = ProcessorSeconds;
            await Task.Delay(TimeSpan.FromSeconds(1));
            if (ProcessorSeconds - before < 0.05)
            {
                return;
            }
        }

        Console.Error.WriteLine("The server has nothing to do and yet is busy a minute after its start.");
    }

    private string Log()
    {
        if (!File.Exists(LogFile))
        {
            return "";
        }

        using var reader = new StreamReader(new FileStream(LogFile, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd();
    }

    private long Status(string name)
    {
        var line = File.ReadLines($"/proc/{Id}/status").First(l => l.StartsWith(name, StringComparison.Ordinal));
        return long.Parse(line[name.Length..].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"http://127\.0\.0\.1:(\d+)")]
    private static partial Regex Address();
}
