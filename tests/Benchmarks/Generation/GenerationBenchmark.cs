using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Generation;

/// <summary>
/// The verb <c>generation</c>: SmolLM2-135M-Instruct over HTTP beside a raw loop of ONNX Runtime calls on the same file and llama.cpp on the same weights, in turns; <c>generation soak</c>: random requests,
/// streams and clients that leave, each answer compared with its own alone.
/// </summary>
internal static class GenerationBenchmark
{
    private const string Model = "SmolLM2-135M-Instruct";
    private const int PromptTokens = 512;
    private const int Tokens = 128;
    private const int Rounds = 5;

    /// <summary>Runs it: [soak [seconds] [connections]], or one of <see cref="GenerationCases"/>.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.FirstOrDefault() == "soak")
        {
            return await SoakAsync(args.Length > 1 ? double.Parse(args[1], CultureInfo.InvariantCulture) : 600, args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 64);
        }

        if (args.Length > 0)
        {
            if (GenerationCases.Names.Contains(args[0]))
            {
                return await GenerationCases.RunAsync(args);
            }

            Console.Error.WriteLine($"generation [soak [seconds] [connections] | {string.Join(" | ", GenerationCases.Names)}]");
            return 2;
        }

        using var models = ModelsFolder.WithMiniLM();
        models.AddShared(Model);
        var file = Directory.EnumerateFiles(Path.Combine(models.Path, Model), "*.onnx", SearchOption.AllDirectories).First();
        var load = Report.Load();
        using var exact = await MeasuredServer.StartAsync(models.Path);
        using var int8 = await MeasuredServer.StartAsync(models.Path, [new($"Models:{Model}:AccuracyLevel", "4")]);
        using var raw = new RawDecoding(file);
        var random = new Random(1);
        var figures = new Dictionary<string, List<double>>();
        void Add(string name, double value) => (figures.TryGetValue(name, out var list) ? list : figures[name] = []).Add(value);
        for (var round = 0; round < Rounds; round++)
        {
            int[] prompt = [.. Enumerable.Range(0, PromptTokens).Select(_ => random.Next(100, 40_000))]; // of its own: nothing is known of it
            int[] little = [.. Enumerable.Range(0, 16).Select(_ => random.Next(100, 40_000))];
            Add("raw prompt", raw.Run(prompt, 1, 1).Prefill * 1000);
            var expected = new Dictionary<int, int[]>();
            foreach (var rows in (int[])[1, 8])
            {
                var one = raw.Run(little, rows, Tokens);
                Add($"raw decode {rows}", rows * (Tokens - 1) / one.Decode);
                expected[rows] = one.Tokens;
            }

            foreach (var (name, server) in new[] { ("1", exact), ("4", int8) })
            {
                Add($"{name} prompt", (await AskAsync(server, prompt, 1, 1)).Milliseconds);
                foreach (var rows in (int[])[1, 8])
                {
                    var own = await AskAsync(server, little, rows, Tokens);
                    Add($"{name} decode {rows}", rows * (Tokens - 1) / (own.DecodeMilliseconds / 1000));
                    Add($"{name} same", own.Tokens.SequenceEqual(expected[rows]) ? 1 : 0);
                }
            }

            foreach (var (name, value) in await LlamaAsync(Path.Combine(models.Path, Model)))
            {
                Add($"llama {name}", value);
            }
        }

        double Median(string name) => figures.TryGetValue(name, out var values) ? Statistics.Median(values) : double.NaN;
        string Llama(string name, string format) => double.IsNaN(Median(name)) ? "-" : Median(name).ToString(format, CultureInfo.InvariantCulture);
        bool Ahead(double own, double other) => double.IsNaN(other) || own > other;
        var table = new StringBuilder();
        table.AppendLine("## Generation").AppendLine();
        table.AppendLine(CultureInfo.InvariantCulture, $"{Report.Machine}; {load}. `dotnet run -c Release --project tests/Benchmarks -- generation`; {Model} (4 bit), medians of {Rounds} rounds, all in turns: a raw loop of ONNX Runtime calls on the file as it is, the server over HTTP at both levels of accuracy (1: float32 activations, the file's own; 4: int8, the setting `AccuracyLevel`), and llama.cpp on the same weights (4 bit with int8 activations; `-` where it is not set up).").AppendLine();
        table.AppendLine("| | raw loop | server, level 1 | server, level 4 | llama.cpp | ratio to the raw loop | goal |").AppendLine("|---|--:|--:|--:|--:|--:|---|");
        table.AppendLine(CultureInfo.InvariantCulture, $"| prompt of {PromptTokens} and first token, ms | {Median("raw prompt"):0} | {Median("1 prompt"):0} | {Median("4 prompt"):0} | {Llama("llama prompt", "0")} | level 1: {Median("raw prompt") / Median("1 prompt"):0.00} of its speed | raw + 5 ms, 1.05, ahead: {Report.Met(Median("1 prompt") <= Median("raw prompt") + 5 && Median("raw prompt") / Median("1 prompt") >= 1.05 && Ahead(-Median("1 prompt"), -Median("llama prompt")))} |");
        foreach (var (rows, goal) in ((int Rows, double Goal)[])[(1, 1.9), (8, 1.5)])
        {
            var (own, other) = (Median($"4 decode {rows}"), Median($"raw decode {rows}"));
            table.AppendLine(CultureInfo.InvariantCulture, $"| decode of {rows}, tokens/s | {other:0} | {Median($"1 decode {rows}"):0} | {own:0} | {Llama($"llama decode {rows}", "0")} | level 1: {Median($"1 decode {rows}") / other:0.00}; level 4: {own / other:0.00} | level 4: {goal}, ahead: {Report.Met(own / other >= goal && Ahead(own, Median($"llama decode {rows}")))} |");
        }

        table.AppendLine().AppendLine(CultureInfo.InvariantCulture, $"Greedy tokens equal to the raw loop's: at level 1 {figures["1 same"].Sum()} of {2 * Rounds} sequences, at level 4 {figures["4 same"].Sum()}.");
        Console.WriteLine(table);
        Report.Write("generation", table.ToString());
        return 0;
    }

    // llama.cpp on the same weights, where $LLAMA_PEER says that it is set up: milliseconds of the prompt, tokens a second.
    private static async Task<IReadOnlyList<(string Name, double Value)>> LlamaAsync(string model)
    {
        var scripts = Path.Combine(Path.GetDirectoryName(TestData.Models)!, "peers", "llama");
        if (Environment.GetEnvironmentVariable("LLAMA_PEER") is not { Length: > 0 } folder || !Directory.Exists(scripts))
        {
            return [];
        }

        using var process = Process.Start(new ProcessStartInfo("node", [Path.Combine(scripts, "bench.mjs"), model, Path.Combine(folder, "smol-q4_1.gguf"), "--reps", "1"]) { RedirectStandardOutput = true })!;
        var lines = (await process.StandardOutput.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return
        [
            .. lines.Select(line => JsonNode.Parse(line)!).Select(line => (string)line["scenario"]! switch
            {
                "prompt512" => ("prompt", PromptTokens / (double)line["tok_s"]! * 1000),
                "decode1" => ("decode 1", (double)line["tok_s"]!),
                _ => ("decode 8", (double)line["tok_s"]!),
            }),
        ];
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
