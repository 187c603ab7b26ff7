using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.Rerank;
using InferenceServer.Engine.Tasks.Similarity;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Embeddings;

/// <summary>SPLADE folders: sparse vectors of the reference's logits.</summary>
public sealed class SparseVectorsTests
{
    private const float Tolerance = 1e-4f;

    [Theory]
    [InlineData("max", "relu")]
    [InlineData("sum", "relu")]
    [InlineData("max", "log1p_relu")]
    [InlineData("sum", "log1p_relu")]
    public async Task The_vector_is_pooled_from_the_logits_of_the_reference(string strategy, string activation)
    {
        await using var folder = await Splade(new JsonObject { ["pooling_strategy"] = strategy, ["activation_function"] = activation, ["word_embedding_dimension"] = null });
        var expected = Expected.Of("bert-fill-mask-eager");
        var logits = expected.Tensor("case0.logits")!;
        const int Vocabulary = 800;
        var right = new double[Vocabulary];
        for (var i = 0; i < logits.Length; i++)
        {
            var value = Math.Log(1 + Math.Max(0, logits[i]));
            value = activation == "relu" ? value : Math.Log(1 + value);
            right[i % Vocabulary] = strategy == "max" ? Math.Max(right[i % Vocabulary], value) : right[i % Vocabulary] + value;
        }

        var result = await Embed(folder.Model, expected.Cases[0].GetProperty("text").GetString()!);
        var item = Assert.Single(result.Items);
        var dense = new float[Vocabulary];
        foreach (var (index, value) in item.Indices!.Zip(item.Values!.ToFloats()))
        {
            dense[index] = value;
        }

        Assert.Equal(Vocabulary, result.Dimensions);
        Assert.Equal(item.Indices!.Order(), item.Indices);
        Assert.Equal(item.Indices!.Select(id => folder.Model.Tokenizer.IdToToken(id)), item.Tokens);
        Assert.InRange(item.Indices!.Count, 1, Vocabulary - 1);
        Assert.All(dense.Zip(right), pair => Assert.Equal(pair.Second, pair.First, Tolerance));
    }

    [Fact]
    public async Task Texts_are_compared_by_the_dot_product_of_their_vectors()
    {
        await using var folder = await Splade(new JsonObject { ["pooling_strategy"] = "max" });
        string[] texts = ["The server answers.", "The package is here.", "O servidor responde."];
        var vectors = await Task.WhenAll(texts.Select(async text => (await Embed(folder.Model, text)).Items[0]));
        double[] right = [.. vectors.Skip(1).Select(other => vectors[0].Indices!.Zip(vectors[0].Values!.ToFloats()).Sum(a => other.Indices!.Zip(other.Values!.ToFloats()).Where(b => b.First == a.First).Sum(b => (double)a.Second * b.Second)))];

        var similar = await new SimilarityTask().RunAsync(folder.Model, new SimilarityRequest { Source = texts[0], Sentences = texts[1..] }, new RequestContext());
        Assert.Equal("dot", similar.Function);
        Assert.All(similar.Scores.Zip(right), pair => Assert.Equal(pair.Second, pair.First, Tolerance * Math.Max(1, pair.Second)));
        var ranked = await new RerankTask().RunAsync(folder.Model, new RerankRequest { Query = texts[0], Documents = texts[1..] }, new RequestContext());
        Assert.Equal(right[0] > right[1] ? [0, 1] : [1, 0], ranked.Results.Select(r => r.Index));
    }

    [Fact]
    public async Task What_does_not_fit_sparse_vectors_is_refused_by_name()
    {
        await using var folder = await Splade(new JsonObject { ["pooling_strategy"] = "max" });
        Assert.Contains(folder.Status.Notes, note => note.Contains("level sparse", StringComparison.Ordinal));
        await Refused(nameof(EmbeddingsRequest.Level), request => request with { Level = EmbeddingLevel.Sequence });
        await Refused(nameof(EmbeddingsRequest.Dimensions), request => request with { Dimensions = 4 });
        await Refused(nameof(EmbeddingsRequest.DataType), request => request with { DataType = EmbeddingDataType.Int8 });
        await Refused(nameof(EmbeddingsRequest.Pooling), request => request with { Pooling = "mean" });
        await Refused(nameof(EmbeddingsRequest.Split), request => request with { Split = true });
        var plain = TinyModel.Create();
        var e = await Assert.ThrowsAsync<InferenceException>(() => new EmbeddingsTask().RunAsync(plain, new EmbeddingsRequest { Inputs = [TextInput.Of("the cats")], Level = EmbeddingLevel.Sparse }, new RequestContext()));
        Assert.Equal(nameof(EmbeddingsRequest.Level), e.Argument!.ToString());

        async Task Refused(string argument, Func<EmbeddingsRequest, EmbeddingsRequest> change)
        {
            var request = change(new EmbeddingsRequest { Inputs = [TextInput.Of("The server answers.")], Level = EmbeddingLevel.Sparse });
            var error = await Assert.ThrowsAsync<InferenceException>(() => new EmbeddingsTask().RunAsync(folder.Model, request, new RequestContext()));
            Assert.Equal((ErrorCode.Unprocessable, argument), (error.Code, error.Argument!.ToString()));
        }
    }

    [Fact]
    public async Task A_module_that_is_not_known_refuses_vectors_and_nothing_else()
    {
        await using var folder = await EditedFolder.Load("bert-fill-mask-eager", f => EditedFolder.WriteModules(f, ("sentence_transformers.models.Transformer", ""), ("somewhere.CSRSparsity", "1_CSR")));
        Assert.DoesNotContain(folder.Model.Capabilities.Tasks, task => task is EmbeddingsTask or SimilarityTask or RerankTask);
        Assert.Contains(folder.Model.Capabilities.Tasks, task => task is InferenceServer.Engine.Tasks.FillMask.FillMaskTask);
        Assert.Contains("CSRSparsity", new EmbeddingsTask().WhyNot(folder.Model), StringComparison.Ordinal);
    }

    private static Task<EditedFolder> Splade(JsonObject pooling) => EditedFolder.Load("bert-fill-mask-eager", folder =>
    {
        EditedFolder.WriteModules(folder, ("sentence_transformers.sparse_encoder.models.MLMTransformer", ""), ("sentence_transformers.sparse_encoder.models.SpladePooling", "1_SpladePooling"));
        EditedFolder.Write(folder, "1_SpladePooling/config.json", pooling);
    });

    private static Task<EmbeddingsResult> Embed(Model model, string text) =>
        new EmbeddingsTask().RunAsync(model, new EmbeddingsRequest { Inputs = [TextInput.Of(text)], Level = EmbeddingLevel.Sparse }, new RequestContext());
}
