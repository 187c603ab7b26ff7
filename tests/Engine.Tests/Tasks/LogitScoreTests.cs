using System.Text.Json.Nodes;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.NextToken;
using InferenceServer.Engine.Tasks.Rerank;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>Rerankers that are causal language models (LogitScore): the logit of a token behind the pair, in the reference's logits.</summary>
public sealed class LogitScoreTests
{
    private const int Yes = 300;
    private const int No = 301;

    [Theory]
    [InlineData(null)]
    [InlineData(No)]
    public async Task The_score_is_the_logit_of_one_token_less_that_of_the_other(int? no)
    {
        var expected = Expected.Of("gpt2-no-past");
        var text = expected.Cases[0].GetProperty("text").GetString()!;
        var logits = expected.Tensor("case0.logits")!.AsSpan()[^800..].ToArray();
        var right = logits[Yes] - (no is null ? 0 : logits[No]);
        await using var folder = await Reranker(no, new ModelSettings { RerankTemplate = "{query}{document}" });
        var half = text.Length / 2;
        var request = new RerankRequest { Query = text[..half], Documents = [text[half..]], RawScores = true };
        Assert.Equal(right, (await new RerankTask().RunAsync(folder.Model, request, new RequestContext())).Results[0].Score, 1e-3);
        Assert.Equal(1 / (1 + Math.Exp(-right)), (await new RerankTask().RunAsync(folder.Model, request with { RawScores = false }, new RequestContext())).Results[0].Score, 1e-4);
    }

    [Fact]
    public async Task Without_a_template_rerank_alone_is_refused()
    {
        await using var folder = await Reranker(null, ModelSettings.None);
        Assert.Contains("RerankTemplate", new RerankTask().WhyNot(folder.Model), StringComparison.Ordinal);
        Assert.Contains(folder.Model.Capabilities.Tasks, task => task is NextTokenTask);
        Assert.DoesNotContain(folder.Model.Capabilities.Tasks, task => task is RerankTask or EmbeddingsTask);
    }

    [Fact]
    public async Task A_token_that_the_graph_does_not_know_refuses_rerank()
    {
        await using var folder = await Reranker(5000, new ModelSettings { RerankTemplate = "{query}{document}" });
        Assert.Contains("5000", new RerankTask().WhyNot(folder.Model), StringComparison.Ordinal);
    }

    private static Task<EditedFolder> Reranker(int? no, ModelSettings settings) => EditedFolder.Load(
        "gpt2-no-past",
        folder =>
        {
            EditedFolder.WriteModules(folder, ("sentence_transformers.base.modules.transformer.Transformer", ""), ("sentence_transformers.cross_encoder.modules.logit_score.LogitScore", "1_LogitScore"));
            EditedFolder.Write(folder, "1_LogitScore/config.json", new JsonObject { ["true_token_id"] = Yes, ["false_token_id"] = no });
        },
        settings);
}
