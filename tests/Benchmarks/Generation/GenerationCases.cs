using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Generation;

/// <summary>What takes too long for a test, on SmolLM2-135M-Instruct: clients that leave long generations, caches that are reused and put back, thousands of lengths.</summary>
internal static class GenerationCases
{
    private const string Model = "SmolLM2-135M-Instruct";
    private const string Path = $"/api/models/{Model}/generations";
    private const int Clients = 8;

    /// <summary>Names of the cases.</summary>
    public static readonly string[] Names = ["leavers", "reuse", "lengths"];

    /// <summary>Runs one: its name, and for lengths the number of prompts.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        using var models = ModelsFolder.WithMiniLM();
        models.AddShared(Model);
        var (row, isMet) = args[0] switch
        {
            "leavers" => await LeaversAsync(models.Path),
            "reuse" => await ReuseAsync(models.Path),
            _ => await LengthsAsync(models.Path, args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 300),
        };
        var text = $"""
            ## Generation, {args[0]}

            {Report.Machine}. `dotnet run -c Release --project tests/Benchmarks -- generation {string.Join(' ', args)}`; {Model}.

            {row}: {Report.Met(isMet)}
            """;
        Console.WriteLine(text);
        Report.Write($"generation {args[0]}", text);
        return isMet ? 0 : 1;
    }

    // Eight long generations, half of them streams, and a prompt of 7,500 tokens, whose clients leave: the processor is idle soon, the next request is quick.
    private static async Task<(string Row, bool IsMet)> LeaversAsync(string models)
    {
        using var server = await MeasuredServer.StartAsync(models);
        var alone = await AskAsync(server.Http, Ids(1, 16), 8);
        var quick = await TimedAsync(() => AskAsync(server.Http, Ids(2, 16), 8));
        var idle = 0.0;
        foreach (var (bodies, after) in new[]
        {
            (Enumerable.Range(0, Clients).Select(i => Body(Ids(i, 20), 2000, new { stream = i % 2 == 0 })).ToArray(), 1000),
            ([Body(Ids(9, 7500), 5, new { stream = false })], 200),
        })
        {
            using var leaving = new CancellationTokenSource(after);
            await Task.WhenAll(bodies.Select(async body =>
            {
                try
                {
                    using var content = new StringContent(body, Encoding.UTF8, "application/json");
                    using var answer = await server.Http.PostAsync(Path, content, leaving.Token);
                    await answer.Content.ReadAsStringAsync(leaving.Token);
                }
                catch (OperationCanceledException)
                {
                    // It leaves.
                }
            }));
            var started = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(30))
            {
                var before = server.ProcessorSeconds;
                await Task.Delay(200);
                if (server.ProcessorSeconds - before < 0.05)
                {
                    break;
                }
            }

            idle = Math.Max(idle, Stopwatch.GetElapsedTime(started).TotalSeconds);
        }

        var next = await TimedAsync(() => AskAsync(server.Http, Ids(3, 16), 8));
        var same = await AskAsync(server.Http, Ids(1, 16), 8) == alone;
        return (string.Create(CultureInfo.InvariantCulture, $"seconds until the processor is idle {idle:0.0} (goal 2: a chunk of a prompt of 512 tokens ends first); the next request {next:0} ms, alone {quick:0} ms; its tokens the same: {same}"), idle <= 2 && next < (3 * quick) + 200 && same);
    }

    // Eight seeded streams with stop texts in caches for two: each is what it is alone; a prompt that is known, and one that begins like it.
    private static async Task<(string Row, bool IsMet)> ReuseAsync(string models)
    {
        string[] bodies = [.. Enumerable.Range(0, Clients).Select(i => Body([.. Ids(5, 40), .. Ids(i, 10)], 60, new { temperature = 0.9, seed = 100 + i, repetition_penalty = 1.1, stop = new[] { " the", "\n\n" } }))];
        string[] alone;
        using (var server = await MeasuredServer.StartAsync(models))
        {
            alone = new string[bodies.Length];
            for (var i = 0; i < bodies.Length; i++)
            {
                alone[i] = await PostAsync(server.Http, bodies[i]);
            }
        }

        using var small = await MeasuredServer.StartAsync(models, [new("Generation:MaxCachedTokens", "240")]);
        var different = 0;
        for (var round = 0; round < 5; round++)
        {
            var answers = await Task.WhenAll(bodies.Select(body => PostAsync(small.Http, body)));
            different += answers.Zip(alone).Count(pair => pair.First != pair.Second);
        }

        return ($"5 rounds of {Clients} seeded requests that begin alike, in caches of 240 tokens: {different} differ from what they are alone with room", different == 0);
    }

    // Prompts of random lengths: resident memory does not follow their number.
    private static async Task<(string Row, bool IsMet)> LengthsAsync(string models, int prompts)
    {
        const int Longest = 3000;
        using var server = await MeasuredServer.StartAsync(models, [new("Generation:MaxCachedTokens", "8000")]);
        var random = new Random(41);
        var resident = new List<double>();
        for (var i = 1; i <= prompts; i++)
        {
            using var leaving = new CancellationTokenSource();
            if (i % 3 == 0)
            {
                leaving.CancelAfter(random.Next(50, 1500));
            }

            try
            {
                await AskAsync(server.Http, Ids(i, random.Next(1, Longest)), 5, leaving.Token);
            }
            catch (OperationCanceledException)
            {
                // It leaves.
            }

            if (i % (prompts / 3) == 0)
            {
                resident.Add(server.ResidentMiB);
            }
        }

        return (string.Create(CultureInfo.InvariantCulture, $"{prompts} prompts of 1 to {Longest} tokens, a third of the clients leave; RSS MiB after each third: {string.Join(" / ", resident.Select(r => r.ToString("0", CultureInfo.InvariantCulture)))}"), resident[^1] <= (1.1 * resident[0]) + 64);
    }

    private static int[] Ids(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(100, 40_000))];
    }

    private static string Body(int[] ids, int tokens, object more)
    {
        var body = JsonSerializer.SerializeToNode(more)!.AsObject();
        body["input_ids"] = JsonSerializer.SerializeToNode(ids);
        body["max_new_tokens"] = tokens;
        return body.ToJsonString();
    }

    private static Task<string> AskAsync(HttpClient client, int[] ids, int tokens, CancellationToken cancellation = default) => PostAsync(client, Body(ids, tokens, new { temperature = 0 }), cancellation);

    private static async Task<string> PostAsync(HttpClient client, string body, CancellationToken cancellation = default)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var answer = await client.PostAsync(Path, content, cancellation);
        var text = await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync(cancellation);
        return string.Join(',', JsonNode.Parse(text)!["choices"]![0]!["token_ids"]!.AsArray().Select(id => (int)id!));
    }

    private static async Task<double> TimedAsync(Func<Task> run)
    {
        var started = Stopwatch.GetTimestamp();
        await run();
        return Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }
}
