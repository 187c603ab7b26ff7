using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks.Embeddings;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>What a text's vector is does not depend on who else is in its batch.</summary>
public sealed class BatchMatesTests
{
    private const int Mixes = 1000;
    private const float Tolerance = 1e-5f; // float32 sums in another order; measured: 1e-6

    [Fact]
    public async Task A_thousand_random_mixes_change_no_vector()
    {
        using var models = new TemporaryFolder();
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-bert"), Path.Combine(models.Path, "demo-bert"));
        await using var registry = new ModelRegistry(new LoadingOptions { Directory = models.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu } });
        await registry.LoadAllAsync(TestContext.Current.CancellationToken);
        using var lease = registry.Acquire("demo-bert");
        var random = new Random(11);
        string[] words = ["banco", "praça", "dinheiro", "the", "street", "animal", "tired", "água", "casa", "e"];
        var texts = Enumerable.Range(0, 60).Select(_ => string.Join(' ', Enumerable.Range(0, random.Next(1, 30)).Select(_ => words[random.Next(words.Length)]))).ToArray();
        var alone = new float[texts.Length][];
        for (var i = 0; i < texts.Length; i++)
        {
            alone[i] = (await Embed([texts[i]]))[0];
        }

        var largest = 0f;
        for (var mix = 0; mix < Mixes; mix++)
        {
            var chosen = Enumerable.Range(0, random.Next(2, 12)).Select(_ => random.Next(texts.Length)).ToArray();
            var half = random.Next(chosen.Length + 1); // as one request or as two at once
            var vectors = await Task.WhenAll(Embed([.. chosen.Take(half).Select(i => texts[i])]), Embed([.. chosen.Skip(half).Select(i => texts[i])]));
            var all = vectors.SelectMany(v => v).ToArray();
            for (var k = 0; k < chosen.Length; k++)
            {
                largest = Math.Max(largest, alone[chosen[k]].Zip(all[k], (a, b) => Math.Abs(a - b)).Max());
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"largest difference in {Mixes} mixes: {largest:e1}");
        Assert.True(largest < Tolerance, $"{largest:e1}");

        async Task<float[][]> Embed(string[] inputs) => inputs.Length == 0 ? [] :
            [.. (await new EmbeddingsTask().RunAsync(lease.Model, new EmbeddingsRequest { Inputs = [.. inputs.Select((text, i) => Engine.Tasks.TextInput.Of(text, index: i))] }, new RequestContext(TestContext.Current.CancellationToken)))
                .Items.Select(item => item.Embedding!.ToFloats())];
    }
}
