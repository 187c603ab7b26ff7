using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json;

namespace InferenceServer.Benchmarks.Client;

/// <summary>The client process: sends prepared requests in a closed or an open loop and prints one <see cref="LoadResult"/> as JSON.</summary>
internal sealed class LoadGenerator(LoadOptions options)
{
    private readonly byte[][] requests = [.. File.ReadLines(options.BodiesFile).Select(body => Request(options, Encoding.UTF8.GetBytes(body)))];
    private readonly IPEndPoint server = new(IPAddress.Loopback, options.Port);
    private readonly List<Sample> samples = [];
    private readonly Lock gate = new();
    private readonly ConcurrentStack<Connection> idle = new();
    private readonly ConcurrentQueue<long> waiting = new();
    private readonly TaskCompletionSource drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int next = -1;
    private int opened;
    private int running; // requests that began before the end of the measured time and have no answer yet; one more until that end
    private long waitedForConnection;
    private long refusals;
    private volatile bool ended;

    private readonly record struct Sample(long Start, long End, int Status, int RetryAfter, bool Again);

    /// <summary>The verb <c>client</c>.</summary>
    public static async Task<int> RunAsync(string json)
    {
        new Thread(static () =>
        {
            // The process that started this one has ended.
            Console.In.ReadToEnd();
            Environment.Exit(1);
        })
        { IsBackground = true }.Start();
        var result = await new LoadGenerator(JsonSerializer.Deserialize<LoadOptions>(json)!).MeasureAsync();
        Console.WriteLine(JsonSerializer.Serialize(result));
        return 0;
    }

    /// <summary>The bytes of a POST.</summary>
    public static byte[] Request(LoadOptions options, byte[] body)
    {
        var headers = string.Concat(options.Headers.Select(h => $"{h.Key}: {h.Value}\r\n"));
        return [.. Encoding.ASCII.GetBytes($"POST {options.Path} HTTP/1.1\r\nHost: 127.0.0.1:{options.Port}\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n{headers}\r\n"), .. body];
    }

    private async Task<LoadResult> MeasureAsync()
    {
        running = 1;
        if (options.Rate > 0)
        {
            new Thread(Arrive) { IsBackground = true }.Start();
        }
        else
        {
            for (var i = 0; i < options.Connections; i++)
            {
                _ = LoopAsync();
            }
        }

        await Task.Delay(TimeSpan.FromSeconds(options.WarmUpSeconds));
        var begin = Usage.Now(options.ServerProcessId);
        await Task.Delay(TimeSpan.FromSeconds(options.Seconds));
        var end = Usage.Now(options.ServerProcessId);
        ended = true;
        Finished();

        // The load goes on until what began in the measured time has its answer, so that its last requests meet the same server as the others.
        await drained.Task;
        lock (gate)
        {
            return Result(begin, end);
        }
    }

    private async Task LoopAsync()
    {
        using var connection = new Connection(server);
        while (true)
        {
            await SendAsync(connection, Stopwatch.GetTimestamp());
            if (options.PauseMilliseconds > 0)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(options.PauseMilliseconds));
            }
        }
    }

    private void Arrive()
    {
        var random = new Random(11);
        var at = (double)Stopwatch.GetTimestamp();
        while (true)
        {
            at += -Math.Log(1 - random.NextDouble()) / options.Rate * Stopwatch.Frequency;
            var wait = (int)Math.Ceiling((at - Stopwatch.GetTimestamp()) * 1000 / Stopwatch.Frequency);
            if (wait > 0)
            {
                Thread.Sleep(wait);
            }

            if (idle.TryPop(out var connection))
            {
                _ = ServeAsync(connection, (long)at);
            }
            else if (opened < options.Connections)
            {
                opened++;
                _ = ServeAsync(new Connection(server), (long)at);
            }
            else
            {
                waitedForConnection++;
                waiting.Enqueue((long)at);
            }
        }
    }

    private async Task ServeAsync(Connection connection, long arrival)
    {
        do
        {
            await SendAsync(connection, arrival);
        }
        while (waiting.TryDequeue(out arrival));
        idle.Push(connection);
    }

    private async Task SendAsync(Connection connection, long start)
    {
        var counted = !ended;
        if (counted)
        {
            Interlocked.Increment(ref running);
        }

        var request = requests[(uint)Interlocked.Increment(ref next) % (uint)requests.Length];
        var answer = await connection.SendAsync(request);
        Record(start, answer, again: false);
        if (answer is { Status: 429, RetryAfter: >= 0 } && IsSentAgain())
        {
            await Task.Delay(TimeSpan.FromSeconds(answer.RetryAfter));
            start = Stopwatch.GetTimestamp();
            Record(start, await connection.SendAsync(request), again: true);
        }
        else if (answer.Status == 0)
        {
            await Task.Delay(50); // a server that is gone must not be asked in a busy loop
        }

        if (counted)
        {
            Finished();
        }
    }

    private bool IsSentAgain()
    {
        var n = Interlocked.Increment(ref refusals);
        return Math.Floor(n * options.RetryShare) > Math.Floor((n - 1) * options.RetryShare);
    }

    private void Record(long start, Answer answer, bool again)
    {
        var end = Stopwatch.GetTimestamp();
        lock (gate)
        {
            samples.Add(new Sample(start, end, answer.Status, answer.RetryAfter, again));
        }
    }

    private void Finished()
    {
        if (Interlocked.Decrement(ref running) == 0)
        {
            drained.TrySetResult();
        }
    }

    private LoadResult Result(Usage begin, Usage end)
    {
        var seconds = (end.Timestamp - begin.Timestamp) / (double)Stopwatch.Frequency;
        var inside = samples.Where(s => s.End >= begin.Timestamp && s.End < end.Timestamp).ToArray();
        var answers = options.Rate > 0 ? inside.Count(s => s.Status == 200) : samples.Where(s => s.Status == 200).Sum(s =>
            Math.Max(0.0, Math.Min(s.End, end.Timestamp) - Math.Max(s.Start, begin.Timestamp)) / Math.Max(1, s.End - s.Start));
        var counted = options.Rate > 0 ? inside : [.. samples.Where(s => s.End >= begin.Timestamp && s.Start < end.Timestamp)];
        var milliseconds = counted.Where(s => s.Status == 200).Select(s => (s.End - s.Start) * 1000.0 / Stopwatch.Frequency).Order().ToArray();
        var statuses = new SortedDictionary<int, long>(counted.CountBy(s => s.Status).ToDictionary(s => s.Key, s => (long)s.Value));
        return new LoadResult
        {
            Seconds = seconds,
            TextsPerSecond = answers * options.TextsPerRequest / seconds,
            Milliseconds = [Statistics.Percentile(milliseconds, 0.5), Statistics.Percentile(milliseconds, 0.95), Statistics.Percentile(milliseconds, 0.99), Statistics.Percentile(milliseconds, 1)],
            Statuses = statuses,
            AllAnswers = samples.Count(s => s.Status == 200),
            WithoutRetryAfter = samples.Count(s => s is { Status: 429, RetryAfter: < 0 }),
            MeanRetryAfter = samples.Where(s => s is { Status: 429, RetryAfter: >= 0 }).Select(s => (double)s.RetryAfter).DefaultIfEmpty(0).Average(),
            SentAgain = samples.Count(s => s.Again),
            TakenThen = samples.Count(s => s.Again && s.Status is not (0 or 429 or 503)),
            WaitedForConnection = waitedForConnection,
            ClientProcessorSeconds = (end.Client - begin.Client).TotalSeconds,
            ServerProcessorSeconds = (end.Server - begin.Server).TotalSeconds,
        };
    }

    /// <summary>Processor time used up to a moment.</summary>
    private readonly record struct Usage(long Timestamp, TimeSpan Client, TimeSpan Server)
    {
        public static Usage Now(int serverProcessId)
        {
            using var server = Process.GetProcessById(serverProcessId);
            return new Usage(Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime, server.TotalProcessorTime);
        }
    }
}
