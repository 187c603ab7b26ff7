using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Generation;

/// <summary>
/// The verb <c>generation</c>: SmolLM2-135M-Instruct over HTTP beside a raw loop of ONNX Runtime calls on the same file, in turns; <c>generation soak</c>: random requests,
/// streams and clients that leave, each answer compared with its own alone.
/// </summary>
internal static class GenerationBenchmark
{
    private const string Model = "SmolLM2-135M-Instruct";
    private const int PromptTokens = 512;
    private const int Tokens = 128;
    private const int Rounds = 3;

    /// <summary>Runs it: [soak [seconds] [connections]].</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.FirstOrDefault() == "soak")
        {
            return await SoakAsync(args.Length > 1 ? double.Parse(args[1], CultureInfo.InvariantCulture) : 600, args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 64);
        }

        using var models = ModelsFolder.WithMiniLM();
        models.AddShared(Model);
        var file = Directory.EnumerateFiles(Path.Combine(models.Path, Model), "*.onnx", SearchOption.AllDirectories).First();
        var load = Report.Load();
        using var server = await MeasuredServer.StartAsync(models.Path);
        using var raw = new RawDecoding(file);
        var random = new Random(1);
        var figures = new Dictionary<string, List<double>>();
        void Add(string name, double value) => (figures.TryGetValue(name, out var list) ? list : figures[name] = []).Add(value);
        for (var round = 0; round < Rounds; round++)
        {
            int[] prompt = [.. Enumerable.Range(0, PromptTokens).Select(_ => random.Next(100, 40_000))]; // of its own: nothing is known of it
            var (prefill, _, _) = raw.Run(prompt, 1, 1);
            Add("raw prefill ms", prefill * 1000);
            var answer = await AskAsync(server, prompt, 1, 1);
            Add("server first token ms", answer.Milliseconds);

            int[] little = [.. Enumerable.Range(0, 16).Select(_ => random.Next(100, 40_000))];
            foreach (var rows in (int[])[1, 8])
            {
                var one = raw.Run(little, rows, Tokens);
                Add($"raw decode {rows}", rows * (Tokens - 1) / one.Decode);
                var own = await AskAsync(server, little, rows, Tokens);
                Add($"server decode {rows}", rows * (Tokens - 1) / (own.DecodeMilliseconds / 1000));
                Add($"same tokens {rows}", own.Tokens.SequenceEqual(one.Tokens) ? 1 : 0);
            }
        }

        double Median(string name) => Statistics.Median(figures[name]);
        var table = new StringBuilder();
        table.AppendLine("## Generation").AppendLine();
        table.AppendLine(CultureInfo.InvariantCulture, $"{Report.Machine}; {load}. `dotnet run -c Release --project tests/Benchmarks -- generation`; {Model} (4 bit, accuracy_level 1), medians of {Rounds} rounds, server and raw loop in turns.").AppendLine();
        table.AppendLine("| | raw loop | server over HTTP | ratio | goal |").AppendLine("|---|--:|--:|--:|---|");
        table.AppendLine(CultureInfo.InvariantCulture, $"| first token of a prompt of {PromptTokens}, ms | {Median("raw prefill ms"):0} | {Median("server first token ms"):0} | {Median("raw prefill ms") / Median("server first token ms"):0.00} | raw + 5 ms: {Report.Met(Median("server first token ms") <= Median("raw prefill ms") + 5)} |");
        table.AppendLine(CultureInfo.InvariantCulture, $"| decode of one, tokens/s | {Median("raw decode 1"):0} | {Median("server decode 1"):0} | {Median("server decode 1") / Median("raw decode 1"):0.00} | 1.9: {Report.Met(Median("server decode 1") / Median("raw decode 1") >= 1.9)} |");
        table.AppendLine(CultureInfo.InvariantCulture, $"| decode of eight, tokens/s | {Median("raw decode 8"):0} | {Median("server decode 8"):0} | {Median("server decode 8") / Median("raw decode 8"):0.00} | 1.5: {Report.Met(Median("server decode 8") / Median("raw decode 8") >= 1.5)} |");
        table.AppendLine().AppendLine(CultureInfo.InvariantCulture, $"Greedy tokens equal to the raw loop's: {figures["same tokens 1"].Sum() + figures["same tokens 8"].Sum()} of {2 * Rounds}.");
        Console.WriteLine(table);
        Report.Write("generation", table.ToString());
        return 0;
    }

    private static async Task<(double Milliseconds, double DecodeMilliseconds, int[] Tokens)> AskAsync(MeasuredServer server, int[] prompt, int choices, int tokens)
    {
        var started = Stopwatch.GetTimestamp();
        using var answer = await server.Http.PostAsJsonAsync($"/api/models/{Model}/generations", new { input_ids = prompt, max_new_tokens = tokens, min_new_tokens = tokens, temperature = 0, n = choices });
        var milliseconds = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
        var body = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
        return (milliseconds, (double)body["timings"]!["decode_ms"]!, [.. body["choices"]![0]!["token_ids"]!.AsArray().Select(id => (int)id!)]);
    }

    private static async Task<int> SoakAsync(double seconds, int connections)
    {
        using var models = ModelsFolder.WithMiniLM();
        models.AddShared(Model);
        using var server = await MeasuredServer.StartAsync(models.Path, [new("Generation:MaxCachedTokens", "20000")]);
        var bodies = Enumerable.Range(0, 40).Select(i =>
        {
            var random = new Random(i);
            return JsonSerializer.Serialize(new { input_ids = Enumerable.Range(0, random.Next(1, 120)).Select(_ => random.Next(100, 40_000)), max_new_tokens = random.Next(1, 40), temperature = i % 3 == 0 ? 0.0 : 0.8, seed = i, logprobs = i % 5 == 0 ? 2 : (int?)null });
        }).ToArray();
        var alone = new string[bodies.Length];
        for (var i = 0; i < bodies.Length; i++)
        {
            alone[i] = await TokensAsync(server.Http, bodies[i], stream: false, CancellationToken.None);
        }

        var before = server.ResidentMiB;
        var most = before;
        var (asked, left, different, failed) = (0, 0, 0, 0);
        var end = Stopwatch.GetTimestamp() + (long)(seconds * Stopwatch.Frequency);
        using var watch = new Timer(_ => most = Math.Max(most, server.ResidentMiB), null, 0, 200);
        await Task.WhenAll(Enumerable.Range(0, connections).Select(connection => Task.Run(async () =>
        {
            using var client = new HttpClient { BaseAddress = server.Http.BaseAddress, Timeout = TimeSpan.FromMinutes(10) };
            var random = new Random(1000 + connection);
            while (Stopwatch.GetTimestamp() < end)
            {
                var which = random.Next(bodies.Length);
                using var leaving = new CancellationTokenSource();
                if (random.Next(5) == 0)
                {
                    leaving.CancelAfter(random.Next(1, 2_000));
                }

                try
                {
                    var tokens = await TokensAsync(client, bodies[which], random.Next(2) == 0, leaving.Token);
                    Interlocked.Increment(ref asked);
                    if (tokens != alone[which])
                    {
                        Interlocked.Increment(ref different);
                    }
                }
                catch (OperationCanceledException) when (leaving.IsCancellationRequested)
                {
                    Interlocked.Increment(ref left);
                }
                catch (HttpRequestException)
                {
                    Interlocked.Increment(ref failed);
                }
            }
        })));
        await Task.Delay(TimeSpan.FromSeconds(3)); // memory goes back after a moment of quiet
        var text = string.Create(CultureInfo.InvariantCulture, $"""
            ## Generation, soak

            {Report.Machine}. `dotnet run -c Release --project tests/Benchmarks -- generation soak {seconds} {connections}`: {seconds} s of random requests at {connections} connections, half of them streams, a fifth of the clients leave; each answer is compared with the same request alone.

            | answered | clients that left | other tokens than alone | failed | lines of stacks | RSS MiB before / most / after |
            |--:|--:|--:|--:|--:|---|
            | {asked} | {left} | {different} | {failed} | {server.LogLines("   at ")} | {before:0} / {most:0} / {server.ResidentMiB:0} |
            """);
        Console.WriteLine(text);
        Report.Write("generation soak", text);
        return failed == 0 ? 0 : 1;
    }

    private static async Task<string> TokensAsync(HttpClient client, string body, bool stream, CancellationToken cancellation)
    {
        using var content = new StringContent(stream ? body[..^1] + ",\"stream\":true}" : body, Encoding.UTF8, "application/json");
        using var answer = await client.PostAsync($"/api/models/{Model}/generations", content, cancellation);
        var text = await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync(cancellation);
        return stream
            ? string.Join(',', text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Where(e => e.Contains("\"token_id\"", StringComparison.Ordinal)).Select(e => (int)JsonNode.Parse(e[6..])!["token_id"]!))
            : string.Join(',', JsonNode.Parse(text)!["choices"]![0]!["token_ids"]!.AsArray().Select(id => (int)id!));
    }
}
