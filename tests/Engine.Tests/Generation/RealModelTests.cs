using System.Text.Json;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks.Generate;
using Xunit;

namespace InferenceServer.Engine.Tests.Generation;

/// <summary>SmolLM2-135M-Instruct, 4 bit, against transformers with the same weights: prompts, greedy tokens, first log-probabilities; alone, together, and joining midway.</summary>
public sealed class RealModelTests
{
    private const string Name = "SmolLM2-135M-Instruct";
    private const int AllTokens = 223;

    [Fact]
    public async Task Conversations_are_rendered_and_gone_on_from_token_by_token_as_the_reference_does()
    {
        using var directory = new TemporaryFolder();
        TemporaryFolder.Copy(Path.Combine(TestData.Models, Name), Path.Combine(directory.Path, Name), file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
        await using var registry = new ModelRegistry(new LoadingOptions { Directory = directory.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu } });
        await registry.LoadAllAsync(TestContext.Current.CancellationToken);
        var model = registry.Get(Name).Status.Model!;
        using var expected = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(TestData.Models, Name, "expected.json"), TestContext.Current.CancellationToken));
        var cases = expected.RootElement.GetProperty("cases").EnumerateArray().ToList();

        async Task<(GenerationChoice Choice, int Prompt)> GenerateAsync(JsonElement one)
        {
            var isChat = one.TryGetProperty("messages", out var messages) && messages.ValueKind == JsonValueKind.Array && messages.GetArrayLength() > 0;
            int[]? ids = isChat ? null : [.. one.GetProperty("input_ids").EnumerateArray().Select(id => id.GetInt32())];
            var run = await new GenerateTask().StartAsync(model, new GenerateRequest { Messages = isChat ? messages : null, InputIds = ids, Temperature = 0, MaxNewTokens = one.GetProperty("greedy").GetArrayLength(), Logprobs = 5 }, new RequestContext());
            return ((await run.CompleteAsync())[0], run.PromptTokens);
        }

        var tokens = 0;
        foreach (var together in (bool[])[false, true])
        {
            var runs = cases.Select(GenerateAsync);
            var answers = together ? await Task.WhenAll(runs) : await OneByOneAsync(runs);
            foreach (var ((choice, prompt), one) in answers.Zip(cases))
            {
                Assert.Equal(one.GetProperty("input_ids").GetArrayLength(), prompt);
                Assert.Equal(one.GetProperty("greedy").EnumerateArray().Select(id => id.GetInt32()), choice.TokenIds);
                Assert.Equal(one.GetProperty("greedy_text").GetString(), choice.Text);
                foreach (var (own, reference) in choice.LogProbs![0].Top!.Zip(one.GetProperty("next_top10").EnumerateArray()))
                {
                    Assert.Equal(reference.GetProperty("id").GetInt32(), own.Id);
                    Assert.Equal(reference.GetProperty("logprob").GetDouble(), own.LogProb, 1e-3);
                }

                tokens += choice.TokenIds.Count;
            }
        }

        Assert.Equal(2 * AllTokens, tokens);
    }

    private static async Task<T[]> OneByOneAsync<T>(IEnumerable<Task<T>> runs)
    {
        var results = new List<T>();
        foreach (var run in runs)
        {
            results.Add(await run);
        }

        return [.. results];
    }
}
