using System.Diagnostics.Metrics;
using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Generate;
using Xunit;

namespace InferenceServer.Engine.Tests.Generation;

/// <summary>Many sequences at once on the zoo's decoders: each is what it is alone, and they share their runs.</summary>
public sealed class ContinuousBatchingTests : IAsyncLifetime
{
    private readonly TemporaryFolder directory = new();
    private readonly MeterListener listener;
    private readonly Dictionary<string, long> counts = [];
    private readonly Lock gate = new();
    private ModelRegistry? registry;
    private string id = "";

    public ContinuousBatchingTests()
    {
        listener = new MeterListener { InstrumentPublished = (instrument, own) => { if (instrument.Meter.Name == EngineMetrics.Name) { own.EnableMeasurementEvents(instrument); } } };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            var (model, phase) = ("", "");
            foreach (var (key, tag) in tags)
            {
                (model, phase) = key switch { "gen_ai.request.model" => ((string)tag!, phase), "phase" => (model, (string)tag!), _ => (model, phase) };
            }

            lock (gate)
            {
                if (model == id)
                {
                    counts[instrument.Name + phase] = counts.GetValueOrDefault(instrument.Name + phase) + value;
                }
            }
        });
        listener.Start();
    }

    public static TheoryData<string> Shared() => ["llama-gqa-with-past", "llama-genai-gqa", "qwen2-with-past", "gpt2-with-past", "gptneox-with-past", "llama-old", "llama-fused-ort", "gpt2-no-past"];

    public static TheoryData<string> Others() => ["gpt2-merged-old", "llama-dynamo", "llama-dynamo-opset23", "llama-int8", "llama-fp16", "llama-chat"];

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        listener.Dispose();
        if (registry is not null)
        {
            await registry.DisposeAsync();
        }

        directory.Dispose();
    }

    [Theory]
    [MemberData(nameof(Shared))]
    public async Task Eight_that_join_midway_cost_about_as_many_runs_as_the_longest_has_steps(string folder)
    {
        var model = await LoadAsync(folder);
        var cases = Cases(folder);
        var runs = Enumerable.Range(0, 8).Select(i => GreedyAsync(model, cases[i % cases.Count])).ToArray();
        var answers = await Task.WhenAll(runs);
        for (var i = 0; i < answers.Length; i++)
        {
            Assert.Equal(cases[i % cases.Count].Greedy, answers[i]);
        }

        var longest = cases.Max(c => c.Greedy.Length);
        Assert.InRange(Count("inference.generation.runs" + "decode"), longest - 1, longest + 16); // alone they would take eight times as many
    }

    [Theory]
    [MemberData(nameof(Others))]
    public async Task Each_of_eight_is_what_it_is_alone(string folder)
    {
        var model = await LoadAsync(folder);
        var cases = Cases(folder);
        var alone = new List<int[]>();
        foreach (var one in cases)
        {
            alone.Add(await GreedyAsync(model, one));
        }

        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => GreedyAsync(model, cases[i % cases.Count])));
        for (var i = 0; i < answers.Length; i++)
        {
            Assert.Equal(alone[i % alone.Count], answers[i]);
        }
    }

    [Fact]
    public async Task A_graph_with_one_scale_for_all_activations_keeps_its_cache_and_runs_each_sequence_alone()
    {
        var model = await LoadAsync("llama-int8", file: "model_quantized.onnx");
        Assert.DoesNotContain(registry!.Get(id).Status.Notes, note => note.Contains("other logits", StringComparison.Ordinal));
        var cases = Cases("llama-int8");
        var alone = new List<int[]>();
        foreach (var one in cases)
        {
            alone.Add(await GreedyAsync(model, one));
        }

        Assert.Equal(alone, await Task.WhenAll(cases.Select(one => GreedyAsync(model, one))));
        Assert.Equal(2 * cases.Count, Count("inference.generation.runs" + "prefill")); // no prompt in parts, none known from before
    }

    [Theory]
    [InlineData("llama-gqa-with-past")]
    [InlineData("llama-genai-gqa")]
    [InlineData("gpt2-no-past")]
    public async Task When_the_caches_are_full_the_youngest_is_put_back_and_nothing_shows(string folder)
    {
        var cases = Cases(folder);
        var model = await LoadAsync(folder, new GenerationOptions { MaxCachedTokens = 150 });
        GenerateRequest Seeded(int i) => new() { InputIds = cases[i % cases.Count].InputIds, MaxNewTokens = 24, Temperature = 1, RepetitionPenalty = 1.1, Seed = i };
        var alone = new List<int[]>();
        for (var i = 0; i < 8; i++)
        {
            alone.Add(await GenerateAsync(model, Seeded(i)));
        }

        Assert.Equal(0, Count("inference.generation.preemptions"));
        var together = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => GenerateAsync(model, Seeded(i))));
        for (var i = 0; i < together.Length; i++)
        {
            Assert.Equal(alone[i], together[i]);
        }

        Assert.InRange(Count("inference.generation.preemptions"), 1, 1000);
    }

    [Fact]
    public async Task A_prompt_that_begins_like_an_earlier_one_is_not_computed_again()
    {
        var model = await LoadAsync("llama-gqa-with-past");
        var known = Cases("llama-gqa-with-past").First(c => c.InputIds.Length > 40);
        Assert.Equal(known.Greedy, await GreedyAsync(model, known));
        Assert.Equal(0, Count("inference.generation.prefix_tokens"));
        Assert.Equal(known.Greedy, await GreedyAsync(model, known)); // known whole: its last token is computed for its logits
        Assert.Equal(known.InputIds.Length - 1, Count("inference.generation.prefix_tokens"));

        var longer = known with { InputIds = [.. known.InputIds, .. known.InputIds[1..9]] };
        var before = Count("inference.generation.prefix_tokens");
        var first = await GreedyAsync(model, longer);
        Assert.Equal(known.InputIds.Length, Count("inference.generation.prefix_tokens") - before);
        Assert.Equal(first, await GreedyAsync(model, longer));

        int[] other = [.. known.InputIds[..30], 5, 6, 7];
        before = Count("inference.generation.prefix_tokens");
        var run = await new GenerateTask().StartAsync(model, new GenerateRequest { InputIds = other, MaxNewTokens = 4, Temperature = 0 }, new RequestContext());
        await run.CompleteAsync();
        Assert.Equal(30, Count("inference.generation.prefix_tokens") - before);
        Assert.Equal(33, run.PromptTokens); // what it costs is told whole
    }

    [Fact]
    public async Task A_long_prompt_in_parts_is_the_same()
    {
        var known = Cases("llama-gqa-with-past").First(c => c.InputIds.Length > 40);
        var model = await LoadAsync("llama-gqa-with-past", new GenerationOptions { PrefillTokens = 16 });
        Assert.Equal(known.Greedy, await GreedyAsync(model, known));
        Assert.Equal((known.InputIds.Length + 15) / 16, Count("inference.generation.runs" + "prefill"));
    }

    [Fact]
    public async Task A_request_that_has_gone_frees_its_place()
    {
        var model = await LoadAsync("llama-gqa-with-past");
        using var gone = new CancellationTokenSource();
        var run = await new GenerateTask().StartAsync(model, new GenerateRequest { InputIds = [5, 6, 7], MaxNewTokens = 100, Temperature = 0, LogitBias = new Dictionary<string, double> { ["2"] = -100 }, N = 4 }, new RequestContext(gone.Token));
        var told = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in run.ReadAsync(TestContext.Current.CancellationToken))
            {
                if (++told == 5)
                {
                    await gone.CancelAsync();
                }
            }
        });
        while (model.Generator!.Running > 0)
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        var known = Cases("llama-gqa-with-past")[0];
        Assert.Equal(known.Greedy, await GreedyAsync(model, known));
    }

    [Fact]
    public async Task Unloading_answers_those_who_wait()
    {
        var model = await LoadAsync("llama-gqa-with-past");
        var run = await new GenerateTask().StartAsync(model, new GenerateRequest { InputIds = [5, 6, 7], MaxNewTokens = 100, Temperature = 0, LogitBias = new Dictionary<string, double> { ["2"] = -100 } }, new RequestContext());
        var reading = run.CompleteAsync();
        await registry!.UnloadAsync(id); // no lease is held: it does not wait for the run
        if (await Record.ExceptionAsync(() => reading) is { } failure)
        {
            Assert.Equal(ErrorCode.Unavailable, Assert.IsType<InferenceException>(failure).Code);
        }
    }

    [Theory]
    [InlineData("t5-small-like")]
    [InlineData("bart")]
    [InlineData("bart-old")]
    [InlineData("marian-en-pt")]
    public async Task Sources_of_other_lengths_at_the_same_moment_change_no_beam(string folder)
    {
        var model = await LoadAsync(folder);
        using var expected = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(TestData.Zoo, folder, "expected.json"), TestContext.Current.CancellationToken));
        var cases = expected.RootElement.GetProperty("cases").EnumerateArray().Where(c => c.TryGetProperty("beam4", out _) && c.GetProperty("text").ValueKind == JsonValueKind.String).ToList();
        Assert.InRange(cases.Count, 3, 100);
        var all = await Task.WhenAll(cases.Concat(cases).Select(async c =>
        {
            var run = await new GenerateTask().StartAsync(model, new GenerateRequest { Prompt = c.GetProperty("text").GetString(), MaxNewTokens = 24, NumBeams = 4, N = 2 }, new RequestContext());
            return (Golden: c.GetProperty("beam4"), Choices: await run.CompleteAsync());
        }));
        var pad = model.Manifest.Config.PadTokenId;
        foreach (var (golden, choices) in all)
        {
            for (var i = 0; i < 2; i++)
            {
                var ids = golden[i].GetProperty("ids").EnumerateArray().Select(x => x.GetInt32()).ToList();
                while (ids.Count > 1 && ids[^1] == pad)
                {
                    ids.RemoveAt(ids.Count - 1);
                }

                Assert.Equal(ids, choices[i].TokenIds);
                Assert.Equal(golden[i].GetProperty("score").GetDouble(), choices[i].Score!.Value, 1e-3);
            }
        }
    }

    private async Task<Model> LoadAsync(string folder, GenerationOptions? options = null, string? file = null)
    {
        id = $"{folder}-{Guid.NewGuid():n}";
        TemporaryFolder.Copy(Path.Combine(TestData.Zoo, folder), Path.Combine(directory.Path, id), copied => !Path.GetFileName(copied).StartsWith("expected.", StringComparison.Ordinal));
        registry = new ModelRegistry(new LoadingOptions { Directory = directory.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu, Workers = 2 }, Generation = options ?? new GenerationOptions(), Models = file is null ? [] : new Dictionary<string, ModelSettings> { [id] = new() { File = file } } });
        await registry.LoadAllAsync(TestContext.Current.CancellationToken);
        var status = registry.Get(id).Status;
        Assert.True(status.State == ModelState.Ready, status.Reason);
        return status.Model!;
    }

    private static async Task<int[]> GreedyAsync(Model model, Case known) =>
        await GenerateAsync(model, new GenerateRequest { InputIds = known.InputIds, MaxNewTokens = known.Greedy.Length, Temperature = 0 });

    private static async Task<int[]> GenerateAsync(Model model, GenerateRequest request)
    {
        var run = await new GenerateTask().StartAsync(model, request, new RequestContext());
        return [.. (await run.CompleteAsync())[0].TokenIds];
    }

    private static List<Case> Cases(string folder)
    {
        using var expected = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(TestData.Zoo, folder, "expected.json")));
        return [.. expected.RootElement.GetProperty("cases").EnumerateArray().Where(c => c.TryGetProperty("greedy", out _)).Select(c => new Case(Ids(c, "input_ids"), Ids(c, "greedy")))];
    }

    private static int[] Ids(JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];

    private long Count(string name)
    {
        lock (gate)
        {
            return counts.GetValueOrDefault(name);
        }
    }

    private sealed record Case(int[] InputIds, int[] Greedy);
}
