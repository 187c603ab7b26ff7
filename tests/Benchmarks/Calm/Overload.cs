using System.Diagnostics;
using InferenceServer.Benchmarks.Client;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>Four times more requests than the server can answer, for ten minutes: it answers as many as at its peak, in time, and refuses the others at once.</summary>
internal static class Overload
{
    private const int TextsPerRequest = 16;
    private const int PeakConnections = 8;
    private const int MostConnections = 3000;
    private const double TimesCapacity = 4;
    private const double QueueSeconds = 5;
    private const double DeadlineSeconds = 10;
    private const double WarmUpSeconds = 15;
    private const double MemoryGrowth = 1.1;

    /// <summary>Runs it.</summary>
    public static async Task<CalmTable> RunAsync(CalmOptions options)
    {
        using var folder = ModelsFolder.WithMiniLM();
        using var bodies = CalmBenchmark.TwelveWords(TextsPerRequest);
        var bound = await QueueBoundAsync(folder, bodies, options);
        using var server = await MeasuredServer.StartAsync(folder.Path, new Dictionary<string, string>
        {
            [ServerSettings.MaxWaitingTokens] = $"{bound}",
            [ServerSettings.RequestTimeoutSeconds] = $"{DeadlineSeconds}",
        });
        var peak = await PeakAsync(server, folder, bodies, options);
        var seconds = options.Time(600);
        var load = ClientProcess.RunAsync(server.Load(folder.Model, bodies) with
        {
            Connections = MostConnections,
            Rate = TimesCapacity * peak.TextsPerSecond / TextsPerRequest,
            RetryShare = options.RetryShare,
            WarmUpSeconds = WarmUpSeconds,
            Seconds = seconds,
        });
        var memory = await MemoryAsync(server, seconds);
        var result = await load;

        var ratio = result.TextsPerSecondWithoutClient / peak.TextsPerSecondWithoutClient;
        var again = result.SentAgain == 0 ? double.NaN : (double)result.TakenThen / result.SentAgain;
        var p99 = result.Milliseconds[2] / 1000;
        var minute = Math.Max(1, memory.Count / 10);
        var (first, last) = (memory.Take(minute).Average(), memory.TakeLast(minute).Average());
        var broken = result.Statuses.GetValueOrDefault(0);
        return new CalmTable("Overload", $"Open loop at {TimesCapacity} times the peak for {seconds:0} s, {TextsPerRequest} texts of 12 words a request, the queue bounded to {QueueSeconds} s of capacity ({bound} tokens), deadline {DeadlineSeconds} s. Peak: closed loop of {PeakConnections} connections right before. Of the refused requests {options.RetryShare:0%} are sent again after their Retry-After on the same connection.")
            .Add("peak, texts/s (client's CPU)", $"{peak.TextsPerSecond:0} ({peak.ClientShare:0.0%})")
            .Add("offered, texts/s", $"{TimesCapacity * peak.TextsPerSecond:0}")
            .Add("goodput, texts/s (client's CPU)", $"{result.TextsPerSecond:0} ({result.ClientShare:0.0%})")
            .Add("goodput / peak, the client's CPU taken out of both", $"{ratio:0.00}", $">= 0.95", ratio >= 0.95)
            .Add("answers by status", $"{result.StatusLine}")
            .Add("refusals without Retry-After", $"{result.WithoutRetryAfter}", $"0", result.WithoutRetryAfter == 0)
            .Add("mean Retry-After, s", $"{result.MeanRetryAfter:0.0}")
            .Add("sent again after Retry-After: taken", $"{again:0.00} of {result.SentAgain}", $">= 0.90", again >= 0.9)
            .Add("accepted, p50 / p99, s", $"{result.Milliseconds[0] / 1000:0.0} / {p99:0.0}", $"p99 <= {DeadlineSeconds}", p99 <= DeadlineSeconds)
            .Add("answers with 5xx; broken connections", $"{result.ServerErrors}; {broken}", $"0; 0", result.ServerErrors == 0 && broken == 0)
            .Add($"statuses other than 200 and 429", $"{result.Statuses.Where(s => s.Key is not 200 and not 429).Sum(s => s.Value)}", $"0", result.Statuses.Keys.All(s => s is 200 or 429))
            .Add("RSS MiB, first / last tenth of the time", $"{first:0} / {last:0}", $"last <= {MemoryGrowth} x first", last <= MemoryGrowth * first)
            .Add("arrivals that waited for a free connection in the client", $"{result.WaitedForConnection}");
    }

    // The bound is a setting of the start, so the capacity it is made of is measured with another process before.
    private static async Task<long> QueueBoundAsync(ModelsFolder folder, BodiesFile bodies, CalmOptions options)
    {
        using var server = await MeasuredServer.StartAsync(folder.Path);
        var sequences = await server.TokenizeAsync(folder.Model, Texts.OfWords(512, 12, 12));
        return (long)(QueueSeconds * (await PeakAsync(server, folder, bodies, options)).TextsPerSecond * sequences.Average(s => s.Length));
    }

    private static Task<LoadResult> PeakAsync(MeasuredServer server, ModelsFolder folder, BodiesFile bodies, CalmOptions options) =>
        ClientProcess.RunAsync(server.Load(folder.Model, bodies) with { Connections = PeakConnections, WarmUpSeconds = 3, Seconds = options.Time(20) });

    // Each 10 s, or 60 times when that is more often.
    private static async Task<List<double>> MemoryAsync(MeasuredServer server, double seconds)
    {
        var memory = new List<double>();
        await Task.Delay(TimeSpan.FromSeconds(WarmUpSeconds));
        for (var watch = Stopwatch.StartNew(); watch.Elapsed.TotalSeconds < seconds;)
        {
            memory.Add(server.ResidentMiB);
            await Task.Delay(TimeSpan.FromSeconds(Math.Min(10, seconds / 60)));
        }

        return memory;
    }
}
