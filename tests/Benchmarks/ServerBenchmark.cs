using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace InferenceServer.Benchmarks;

/// <summary>
/// Embeddings over HTTP: the server in a process of its own, this one as its clients, and raw ONNX Runtime on the same sequences in the same
/// run, taking turns, so that what else the machine does falls on both.
/// </summary>
internal static partial class ServerBenchmark
{
    private const int BatchOfCeiling = 32;
    private const int TokensOfCeiling = 1024;
    private static readonly string[] PackingNames = ["", $", batches of {BatchOfCeiling}", $", {TokensOfCeiling} tokens a batch"];
    private static readonly TimeSpan Slice = TimeSpan.FromSeconds(1.5);

    private static readonly string[] Words = """
        The server answers questions about attention. A package manager downloads files, checks their signatures and installs them in the right order, because one
        program needs the libraries of another. The old bridge near the market was closed for two winters, and the teachers of the village crossed the river by boat.
        When the committee met in spring it decided that measurements should be published every month together with the method by which they were taken.
        """.Split((char[])[' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries);

    /// <summary>What the clients send.</summary>
    private sealed record Shape(string Name, int MinWords, int MaxWords, int Batch, int Concurrency)
    {
        public string[][] Requests { get; set; } = [];

        public byte[][] Bodies { get; set; } = [];

        public int[][][] Sequences { get; set; } = [];

        /// <summary>The ways in which the same sequences are packed for raw ONNX Runtime; the best one counts.</summary>
        public IReadOnlyList<IReadOnlyList<int[][]>> CeilingPackings { get; set; } = [];

        public List<double> Milliseconds { get; } = [];

        public long Texts { get; set; }

        public long Tokens { get; set; }

        public double Seconds { get; set; }

        public Dictionary<string, List<(double Sequences, double Tokens)>> Ceiling { get; } = [];
    }

    /// <summary>Runs it; the first argument is the number of rounds (default 5).</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        var load = Report.Load();
        var rounds = args.Length > 0 && int.TryParse(args[0], out var given) ? given : 5;
        var (folder, model) = TestData.HasModels ? (TestData.Models, "all-MiniLM-L6-v2") : (Repository.Models, "demo-bert");
        var file = Path.Combine(folder, model, "onnx", "model.onnx");
        Console.WriteLine($"{Report.Machine}\n{model}, {rounds} rounds");

        using var program = Start(folder, model, out var address);
        try
        {
            using var client = new HttpClient { BaseAddress = await address.WaitAsync(TimeSpan.FromSeconds(90)), Timeout = TimeSpan.FromSeconds(100) };
            await ReadyAsync(client);
            var path = $"/api/models/{model}/embeddings";
            Shape[] shapes =
            [
                new("short texts, one client", 4, 12, 1, 1),
                new("short texts, 16 clients", 4, 12, 1, 16),
                new("short texts, batches of 32, 4 clients", 4, 12, 32, 4),
                new("mixed lengths, 16 clients", 4, 150, 1, 16),
                new("mixed lengths, batches of 32, 4 clients", 4, 150, 32, 4),
                new("long texts, one client", 150, 150, 1, 1),
            ];
            foreach (var shape in shapes)
            {
                await PrepareAsync(shape, client, model);
            }

            RawRuntime[] ceilings = [new(file, 1, Environment.ProcessorCount), new(file, Environment.ProcessorCount, 1)];
            foreach (var shape in shapes)
            {
                // Warm: sessions, buffers, compiled code.
                await DriveAsync(shape, client, path, TimeSpan.FromSeconds(1), count: false);
                Array.ForEach(ceilings, c => c.Measure(shape.CeilingPackings[0], TimeSpan.FromSeconds(0.3), shape.Concurrency == 1));
            }

            for (var round = 0; round < rounds; round++)
            {
                foreach (var shape in shapes)
                {
                    await DriveAsync(shape, client, path, Slice, count: true);
                    foreach (var ceiling in ceilings)
                    {
                        for (var packing = 0; packing < shape.CeilingPackings.Count; packing++)
                        {
                            var measured = ceiling.Measure(shape.CeilingPackings[packing], Slice / shape.CeilingPackings.Count, shape.Concurrency == 1);
                            var name = ceiling.Name + PackingNames[shape.Concurrency == 1 ? 0 : packing + 1];
                            (shape.Ceiling.TryGetValue(name, out var list) ? list : shape.Ceiling[name] = []).Add(measured);
                        }
                    }
                }
            }

            Array.ForEach(ceilings, c => c.Dispose());
            var table = Table(model, file, rounds, load, shapes);
            Console.WriteLine(table);
            Report.Write("server", table);
            return 0;
        }
        finally
        {
            if (!program.HasExited)
            {
                program.Kill();
            }
        }
    }

    private static Process Start(string folder, string model, out Task<Uri> address)
    {
        var start = new ProcessStartInfo("dotnet", [Repository.Program, "--urls", "http://127.0.0.1:0", "--models", folder]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["Logging__LogLevel__Default"] = "Information"; // as it ships: one line a request
        var found = new TaskCompletionSource<Uri>(TaskCreationOptions.RunContinuationsAsynchronously);
        var log = new StringBuilder();
        var process = new Process { StartInfo = start, EnableRaisingEvents = true };
        void Take(object sender, DataReceivedEventArgs line)
        {
            if (line.Data is null || found.Task.IsCompleted)
            {
                return;
            }

            log.AppendLine(line.Data);
            if (Address().Match(line.Data) is { Success: true } match && match.Groups[1].Value != "0")
            {
                found.TrySetResult(new Uri($"http://127.0.0.1:{match.Groups[1].Value}"));
            }
        }

        process.OutputDataReceived += Take;
        process.ErrorDataReceived += Take;
        process.Exited += (_, _) => found.TrySetException(new InvalidOperationException($"The server for {model} ended:\n{log}"));
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        address = found.Task;
        return process;
    }

    private static async Task ReadyAsync(HttpClient client)
    {
        while (true)
        {
            using var answer = await client.GetAsync("/health/ready");
            if (answer.IsSuccessStatusCode)
            {
                return;
            }

            await Task.Delay(50);
        }
    }

    /// <summary>Makes the texts (the same in every run), and asks the server for their token sequences.</summary>
    private static async Task PrepareAsync(Shape shape, HttpClient client, string model)
    {
        var requests = Math.Max(1, 128 / shape.Batch);
        var random = new Random(7);
        shape.Requests = [.. Enumerable.Range(0, requests).Select(_ => Enumerable.Range(0, shape.Batch).Select(_ =>
        {
            // Lengths are log-uniform: most texts are short, some are long.
            var words = (int)Math.Round(shape.MinWords * Math.Pow((double)shape.MaxWords / shape.MinWords, random.NextDouble()));
            var from = random.Next(Words.Length);
            return string.Join(' ', Enumerable.Range(0, words).Select(i => Words[(from + i) % Words.Length]));
        }).ToArray())];
        shape.Bodies = [.. shape.Requests.Select(r => JsonSerializer.SerializeToUtf8Bytes(new { inputs = r }))];
        shape.Sequences = new int[requests][][];
        for (var i = 0; i < requests; i++)
        {
            using var content = Json(shape.Bodies[i]);
            using var answer = await client.PostAsync($"/api/models/{model}/tokenize", content);
            answer.EnsureSuccessStatusCode();
            using var document = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
            shape.Sequences[i] = [.. document.RootElement.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32()).ToArray())];
        }

        // One client at a time leaves nothing to pack; many leave everything: the best that raw ONNX Runtime could be given.
        var sorted = shape.Sequences.SelectMany(s => s).OrderBy(s => s.Length).ToArray();
        shape.CeilingPackings = shape.Concurrency == 1 ? [shape.Sequences] : [[.. sorted.Chunk(BatchOfCeiling)], Packed(sorted, TokensOfCeiling)];
    }

    // Sorted sequences in batches of at most so many padded tokens.
    private static List<int[][]> Packed(int[][] sorted, int tokens)
    {
        var batches = new List<int[][]>();
        for (var from = 0; from < sorted.Length;)
        {
            var to = from + 1;
            while (to < sorted.Length && (to + 1 - from) * sorted[to].Length <= tokens)
            {
                to++;
            }

            batches.Add(sorted[from..to]);
            from = to;
        }

        return batches;
    }

    private static async Task DriveAsync(Shape shape, HttpClient client, string path, TimeSpan time, bool count)
    {
        var next = -1;
        long texts = 0, tokens = 0;
        var milliseconds = new List<double>();
        var start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, shape.Concurrency).Select(async _ =>
        {
            while (Stopwatch.GetElapsedTime(start) < time)
            {
                var i = Interlocked.Increment(ref next) % shape.Bodies.Length;
                var sent = Stopwatch.GetTimestamp();
                using var content = Json(shape.Bodies[i]);
                using var answer = await client.PostAsync(path, content);
                await answer.Content.CopyToAsync(Stream.Null);
                var took = Stopwatch.GetElapsedTime(sent).TotalMilliseconds;
                answer.EnsureSuccessStatusCode();
                lock (milliseconds)
                {
                    milliseconds.Add(took);
                    texts += shape.Batch;
                    tokens += shape.Sequences[i].Sum(s => s.Length);
                }
            }
        }));
        if (count)
        {
            shape.Milliseconds.AddRange(milliseconds);
            shape.Texts += texts;
            shape.Tokens += tokens;
            shape.Seconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }

    private static ByteArrayContent Json(byte[] body) => new(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };

    private static string Table(string model, string file, int rounds, string load, Shape[] shapes)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            ## Embeddings over HTTP beside raw ONNX Runtime

            `dotnet run -c Release --project tests/Benchmarks`, {DateTime.UtcNow:yyyy-MM-dd}, {model} ({new FileInfo(file).Length / 1e6:0.0} MB file)

            {Report.Machine}; {load}

            | shape | sentences/s | tokens/s | p50 ms | p95 ms | p99 ms | ceiling tokens/s (lanes x threads) | ratio |
            |---|--:|--:|--:|--:|--:|--:|--:|

            """);
        foreach (var shape in shapes)
        {
            shape.Milliseconds.Sort();
            double Percentile(double p) => shape.Milliseconds[Math.Min(shape.Milliseconds.Count - 1, (int)(p * shape.Milliseconds.Count))];
            var (name, ceiling) = shape.Ceiling.Select(c => (c.Key, c.Value.Average(m => m.Tokens))).MaxBy(c => c.Item2);
            var tokens = shape.Tokens / shape.Seconds;
            text.AppendLine(CultureInfo.InvariantCulture, $"| {shape.Name} | {shape.Texts / shape.Seconds:0} | {tokens:0} | {Percentile(0.5):0.0} | {Percentile(0.95):0.0} | {Percentile(0.99):0.0} | {ceiling:0} ({name}) | {tokens / ceiling:0.00} |");
        }

        text.Append(CultureInfo.InvariantCulture, $"""

            {rounds} rounds of {Slice.TotalSeconds} s a shape, the server and the ceilings taking turns. The clients are another process on the same cores, so their own work (HTTP, JSON) lowers the server's figure. The server
            tokenizes, batches, pools, normalizes and writes JSON; the ceiling is ONNX Runtime alone on the same file and token sequences, the better of one lane with all threads and one lane a core, outputs unread. With several
            clients it gets all sequences sorted by length, {BatchOfCeiling} a batch or {TokensOfCeiling} padded tokens a batch, whichever is faster; with one client it gets what that client sends, one request at a time. Padding is not counted as tokens.

            """);
        return text.ToString();
    }

    [GeneratedRegex(@"http://127\.0\.0\.1:(\d+)")]
    private static partial Regex Address();
}
