using System.Text.Json.Nodes;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks.Generate;
using Xunit;

namespace InferenceServer.Engine.Tests.Generation;

/// <summary>What a request leaves open comes from the folder's files, and contradictions among them are told.</summary>
public sealed class GenerationDefaultsTests
{
    private const string Gpt = "gpt2-no-past";
    private static readonly int[] Greedy = [771, 480, 423, 372, 97, 423, 423, 97, 799];

    [Fact]
    public async Task Each_of_several_end_tokens_ends()
    {
        await WithAsync(Gpt, generation => generation["eos_token_id"] = new JsonArray(799, 372), null, async (model, notes) =>
        {
            var choice = await GenerateAsync(model, new GenerateRequest { Prompt = "The server answers", Temperature = 0 });
            Assert.Equal(Greedy[..4], choice.TokenIds);
            Assert.Equal("tingrom wh", choice.Text);
            Assert.Empty(notes);
        });
    }

    [Fact]
    public async Task The_generation_config_s_end_goes_before_config_s_and_a_tokenizer_s_own_is_told()
    {
        await WithAsync(Gpt, generation => generation["eos_token_id"] = 423, config => config["eos_token_id"] = 799, async (model, notes) =>
        {
            Assert.Equal(Greedy[..3], (await GenerateAsync(model, new GenerateRequest { Prompt = "The server answers", Temperature = 0 })).TokenIds);
            Assert.Contains(notes, note => note.Contains("423", StringComparison.Ordinal) && note.Contains("799", StringComparison.Ordinal));
        });
        await WithAsync(Gpt, null, config => config["eos_token_id"] = 423, async (model, _) =>
            Assert.Equal(Greedy[..3], (await GenerateAsync(model, new GenerateRequest { Prompt = "The server answers", Temperature = 0 })).TokenIds));
    }

    [Fact]
    public async Task Defaults_hold_until_a_request_says_otherwise()
    {
        await WithAsync(Gpt, generation => (generation["do_sample"], generation["temperature"], generation["top_k"]) = (true, 5.0, 0), null, async (model, notes) =>
        {
            var texts = new HashSet<string>();
            for (var i = 0; i < 5; i++)
            {
                texts.Add((await GenerateAsync(model, new GenerateRequest { Prompt = "The server answers", MaxNewTokens = 8 })).Text);
            }

            Assert.InRange(texts.Count, 2, 5);
            Assert.Equal(Greedy, (await GenerateAsync(model, new GenerateRequest { Prompt = "The server answers", Temperature = 0 })).TokenIds);
            Assert.Contains(notes, note => note.Contains("temperature 5", StringComparison.Ordinal));
        });
        await WithAsync(Gpt, generation => (generation["do_sample"], generation["temperature"], generation["assistant_confidence_threshold"]) = (false, 0.6, 0.4), null, async (model, _) =>
            Assert.Equal(Greedy, (await GenerateAsync(model, new GenerateRequest { Prompt = "The server answers" })).TokenIds));
        await WithAsync(Gpt, generation => (generation["repetition_penalty"], generation["max_new_tokens"]) = (1.5, 6), null, async (model, _) =>
        {
            var own = await GenerateAsync(model, new GenerateRequest { Prompt = "The server answers" });
            Assert.Equal(6, own.TokenIds.Count);
            Assert.NotEqual(Greedy[..6], own.TokenIds);
            Assert.Equal(Greedy[..6], (await GenerateAsync(model, new GenerateRequest { Prompt = "The server answers", RepetitionPenalty = 1 })).TokenIds);
        });
    }

    [Fact]
    public async Task A_start_that_no_file_names_is_told()
    {
        await WithAsync("bart", generation => generation.AsObject().Remove("decoder_start_token_id"), config => config.AsObject().Remove("decoder_start_token_id"), async (model, notes) =>
        {
            Assert.Contains(notes, note => note.Contains("decoder_start_token_id", StringComparison.Ordinal) && note.Contains("the token 0 is taken", StringComparison.Ordinal));
            Assert.NotEmpty((await GenerateAsync(model, new GenerateRequest { Prompt = "The server answers", MaxNewTokens = 4 })).TokenIds);
        });
    }

    [Fact]
    public void Values_that_cannot_be_are_left_out_with_a_note()
    {
        var read = GenerationConfig.From(Json("""{"temperature": "hot", "top_p": 7, "top_k": -1, "eos_token_id": ["a"], "bad_words_ids": [5], "num_beams": 0, "repetition_penalty": 0, "early_stopping": "never", "suppress_tokens": null, "do_sample": "yes"}"""), Json("""{"eos_token_id": 3}"""));
        Assert.Equal((null, null, null, null, null), (read.Temperature, read.TopP, read.TopK, read.NumBeams, read.RepetitionPenalty));
        Assert.Equal([3], read.EosTokenIds);
        Assert.Equal("config.json", read.EosSource);
        Assert.Equal((null, true), read.EarlyStopping);
        Assert.Equal(8, read.Notes.Count);
        Assert.Contains("early_stopping", Assert.Single(GenerationConfig.From(Json("""{"early_stopping": "perhaps"}"""), Json("{}")).Notes), StringComparison.Ordinal);
        Assert.All(read.Notes, note => Assert.StartsWith("generation_config.json: $.", note, StringComparison.Ordinal));

        var genai = GenerationConfig.From(null, Json("""{"model": {"eos_token_id": [7, 8], "bos_token_id": 1}, "search": {"do_sample": true, "temperature": 0.5, "top_k": 40, "num_beams": 2}}"""));
        Assert.Equal([7, 8], genai.EosTokenIds);
        Assert.Equal((true, 0.5, 40, 2), (genai.DoSample, genai.Temperature, genai.TopK, genai.NumBeams));
    }

    private static async Task WithAsync(string source, Action<JsonNode>? generation, Action<JsonNode>? config, Func<Engine.Tasks.Model, IReadOnlyList<string>, Task> check)
    {
        using var directory = new TemporaryFolder();
        var folder = Path.Combine(directory.Path, "changed");
        TemporaryFolder.Copy(Path.Combine(TestData.Zoo, source), folder, file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
        foreach (var (name, change) in ((string, Action<JsonNode>?)[])[("generation_config.json", generation), ("config.json", config)])
        {
            var file = Path.Combine(folder, name);
            if (change is not null)
            {
                var json = JsonNode.Parse(await File.ReadAllTextAsync(file))!;
                change(json);
                await File.WriteAllTextAsync(file, json.ToJsonString());
            }
            else if (name == "generation_config.json")
            {
                File.Delete(file);
            }
        }

        await using var registry = new ModelRegistry(new LoadingOptions { Directory = directory.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu, Workers = 1 } });
        await registry.LoadAllAsync();
        var status = registry.Get("changed").Status;
        Assert.True(status.State == ModelState.Ready, status.Reason);
        await check(status.Model!, [.. status.Notes.Where(note => !note.Contains("past keys", StringComparison.Ordinal))]);
    }

    private static async Task<Engine.Generation.GenerationChoice> GenerateAsync(Engine.Tasks.Model model, GenerateRequest request)
    {
        var run = await new GenerateTask().StartAsync(model, request, new RequestContext());
        return (await run.CompleteAsync())[0];
    }

    private static System.Text.Json.JsonElement Json(string text) => System.Text.Json.JsonDocument.Parse(text).RootElement;
}
