using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.Similarity;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Embeddings;

public class EmbeddingsTaskTests
{
    private static readonly string LongText = string.Join(' ', Enumerable.Repeat("cat", 25));

    [Fact]
    public async Task A_folder_without_pooling_gets_the_mean_and_says_so()
    {
        var result = await Run(TinyModel.Create(), new() { Inputs = [TextInput.Of("the cats")] }); // [CLS] the cat ##s [SEP] = 2 5 6 8 3
        Assert.Equal((new PoolingChoice("mean", "default (the folder names no pooling)"), false, 3), (result.Pooling, result.Normalized, result.Dimensions));
        Assert.Equal([24f / 5, 2f, 1f], result.Items[0].Embedding!.ToFloats());
        Assert.Equal(5, result.Items[0].TokenCount);
    }

    [Fact]
    public async Task Token_vectors_that_are_too_large_an_answer_are_refused_before_the_model_runs()
    {
        var queue = new FakeExecutor(TinyModel.Run);
        var request = new EmbeddingsRequest { Inputs = [TextInput.Of("the cats"), TextInput.Of("the cats")], Level = EmbeddingLevel.Token, MaxAnswerBytes = 10 * 3 * 12 };
        Assert.Equal(2, (await Run(TinyModel.Create(executor: queue), request)).Items.Count); // 10 tokens of 3 numbers
        var runs = queue.Runs;
        var refused = await Assert.ThrowsAsync<InferenceException>(() => Run(TinyModel.Create(executor: queue), request with { MaxAnswerBytes = 359 }));
        Assert.Equal(ErrorCode.TooLarge, refused.Code);
        Assert.Contains("360", refused.Message, StringComparison.Ordinal);
        Assert.Equal(runs, queue.Runs);
    }

    [Fact]
    public async Task A_pair_that_is_cut_does_not_make_the_pieces_that_nobody_reads()
    {
        var text = string.Join(' ', Enumerable.Repeat("cat", 3_000)); // 600 x 600 pieces
        var before = GC.GetAllocatedBytesForCurrentThread();
        var result = await Run(TinyModel.Create(), new() { Inputs = [TextInput.Of(text, text)], Truncate = true });
        Assert.True(result.Items[0].Truncated);
        Assert.Equal(12, result.Items[0].TokenCount);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 20 << 20);
    }

    [Fact]
    public async Task The_folders_modules_run_in_order()
    {
        var pipeline = TinyModel.Pipeline(new PoolingModule([PoolingMode.Cls]), new DenseModule(3, 2, [1, 0, 0, 0, 0, 3], [1, 1], "Identity"), new NormalizeModule());
        var result = await Run(TinyModel.Create(pipeline), new() { Inputs = [TextInput.Of("the cats")] });
        Assert.Equal([0.6f, 0.8f], result.Items[0].Embedding!.ToFloats(), (a, b) => MathF.Abs(a - b) < 1e-6f); // (2 + 1, 3 + 1) / 5
        Assert.Equal("1_Pooling/config.json", result.Pooling!.Source);

        var raw = await Run(TinyModel.Create(pipeline), new() { Inputs = [TextInput.Of("the cats")], Normalize = false });
        Assert.Equal([3f, 4f], raw.Items[0].Embedding!.ToFloats());
    }

    [Fact]
    public async Task Normalize_in_the_middle_is_the_models_own_and_stays()
    {
        var pipeline = TinyModel.Pipeline(new PoolingModule([PoolingMode.Cls]), new NormalizeModule(), new DenseModule(3, 1, [1, 0, 0], null, "Identity"));
        foreach (var normalize in (bool?[])[null, false])
        {
            var result = await Run(TinyModel.Create(pipeline), new() { Inputs = [TextInput.Of("the cats")], Normalize = normalize }); // (2, 0, 1) / sqrt 5
            Assert.Equal(2 / MathF.Sqrt(5), result.Items[0].Embedding!.ToFloats()[0], 1e-6f);
        }
    }

    [Fact]
    public void The_output_that_holds_vectors_is_found_by_its_shape_where_its_name_says_nothing()
    {
        var model = TinyModel.Create();
        Assert.Equal("output_0", With(new GraphTensor("output_0", ElementType.Float, ["b", "s", "3"]), new GraphTensor("logits", ElementType.Float, ["b", "s", "12"])).Capabilities.TokenStates?.Name);
        Assert.Null(With(new GraphTensor("encoder_last_hidden_state", ElementType.Float, ["b", "s", "3"])).Capabilities.TokenStates);
        Assert.Equal("text_embeds", With(new GraphTensor("text_embeds", ElementType.Float, ["b", "5"])).Capabilities.SentenceVector?.Name);
        Assert.Null(With(new GraphTensor("logits", ElementType.Float, ["b", "5"])).Capabilities.SentenceVector);

        Model With(params GraphTensor[] outputs) => model with { Graph = model.Graph with { Outputs = outputs } };
    }

    [Fact]
    public async Task Dimensions_are_cut_before_the_vector_is_normalised()
    {
        var result = await Run(TinyModel.Create(), new() { Inputs = [TextInput.OfIds([3, 3])], Pooling = "lasttoken", Dimensions = 2, Normalize = true });
        Assert.Equal([3 / MathF.Sqrt(10), 1 / MathF.Sqrt(10)], result.Items[0].Embedding!.ToFloats(), (a, b) => MathF.Abs(a - b) < 1e-6f);
        Assert.Equal("request", result.Pooling!.Source);
    }

    [Fact]
    public async Task A_prompt_goes_in_front_and_its_tokens_can_be_left_out()
    {
        // [CLS] query : cat [SEP] = 2 10 11 6 3; without the prompt's: 6 3.
        var with = await Run(TinyModel.Create(TinyModel.Pipeline(new PoolingModule([PoolingMode.Mean]))), new() { Inputs = [TextInput.Of(" Cat ")], PromptName = "query" });
        Assert.Equal(32f / 5, with.Items[0].Embedding!.ToFloats()[0]);
        var without = await Run(TinyModel.Create(TinyModel.Pipeline(new PoolingModule([PoolingMode.Mean], IncludePrompt: false))), new() { Inputs = [TextInput.Of("cat")], PromptName = "query" });
        Assert.Equal([4.5f, 3.5f, 1f], without.Items[0].Embedding!.ToFloats());
        var own = await Run(TinyModel.Create(TinyModel.Pipeline(new PoolingModule([PoolingMode.Mean])) with { DefaultPrompt = "query" }), new() { Inputs = [TextInput.Of("cat")] });
        Assert.Equal(5, own.Items[0].TokenCount);
    }

    [Fact]
    public async Task Token_vectors_come_with_offsets_into_the_text_that_was_sent()
    {
        var model = TinyModel.Create(TinyModel.Pipeline(new PoolingModule([PoolingMode.Mean]), new NormalizeModule()));
        var item = (await Run(model, new() { Inputs = [TextInput.Of(" 😀 cats")], PromptName = "query", Level = EmbeddingLevel.Token })).Items[0];
        Assert.Equal(["[CLS]", "query", ":", "[UNK]", "cat", "##s", "[SEP]"], item.Tokens);
        Assert.Equal([(0, 0), (0, 0), (0, 0), (1, 2), (3, 6), (6, 7), (0, 0)], item.Offsets);
        Assert.Equal([6f, 4f, 1f], item.Embeddings![4].ToFloats());
        Assert.Null(item.Embedding);
    }

    [Fact]
    public async Task A_long_text_is_refused_cut_or_split()
    {
        var error = await Refused(TinyModel.Create(), new() { Inputs = [TextInput.Of("cat"), TextInput.Of(LongText, index: 1)] });
        Assert.Equal("inputs[1]", Wire.Field(error));
        Assert.Contains("12", Wire.Detail(error), StringComparison.Ordinal);
        Assert.Contains("truncate or split", Wire.Detail(error), StringComparison.Ordinal);

        var cut = (await Run(TinyModel.Create(), new() { Inputs = [TextInput.Of(LongText + " sat")], Truncate = true })).Items[0];
        Assert.Equal((true, 12, 1), (cut.Truncated, cut.TokenCount, cut.Windows));
        Assert.Equal((2 + (10 * 6) + 3) / 12f, cut.Embedding!.ToFloats()[0], 1e-6f);
        var left = (await Run(TinyModel.Create(), new() { Inputs = [TextInput.Of(LongText + " sat")], Truncate = true, TruncationDirection = Side.Left })).Items[0];
        Assert.Equal((2 + (9 * 6) + 7 + 3) / 12f, left.Embedding!.ToFloats()[0], 1e-6f);

        // 25 words in windows of 10 that repeat 1: 10, 10 and 7 words, positions averaged by these weights.
        var split = (await Run(TinyModel.Create(), new() { Inputs = [TextInput.Of(LongText)], Split = true })).Items[0];
        Assert.Equal((false, 3, 33), (split.Truncated, split.Windows, split.TokenCount));
        Assert.Equal(((10 * 5.5f) + (10 * 5.5f) + (7 * 4f)) / 27, split.Embedding!.ToFloats()[1], 1e-5f);

        var ids = (await Run(TinyModel.Create(), new() { Inputs = [TextInput.OfIds([.. Enumerable.Repeat(6, 20)])], Split = true })).Items[0];
        Assert.Equal((2, 21), (ids.Windows, ids.TokenCount)); // 0-11 and 11-19
        Assert.Equal(6f, ids.Embedding!.ToFloats()[0], 1e-5f);
    }

    [Fact]
    public async Task A_vector_that_the_graph_pooled_is_taken_as_it_is()
    {
        var model = TinyModel.Create(executor: new FakeExecutor(_ => new FakeRows().Set("sentence_embedding", [3, 4], 2)));
        model = model with { Graph = model.Graph with { Outputs = [new GraphTensor("sentence_embedding", ElementType.Float, ["batch", "2"])] } };
        var result = await Run(model, new() { Inputs = [TextInput.Of("cat")] });
        Assert.Equal([3f, 4f], result.Items[0].Embedding!.ToFloats());
        Assert.Equal("graph output sentence_embedding", result.Pooling!.Source);
        Assert.Equal("pooling", Wire.Field(await Refused(model, new() { Inputs = [TextInput.Of("cat")], Pooling = "mean" })));
        Assert.Equal("level", Wire.Field(await Refused(model, new() { Inputs = [TextInput.Of("cat")], Level = EmbeddingLevel.Token })));
    }

    [Fact]
    public async Task Bad_options_are_named_before_anything_runs()
    {
        var queue = new FakeExecutor(TinyModel.Run);
        var model = TinyModel.Create(TinyModel.Pipeline(new PoolingModule([PoolingMode.Mean])), executor: queue);
        TextInput[] cat = [TextInput.Of("cat")];
        (EmbeddingsRequest Request, string Field, string Said)[] cases =
        [
            (new() { Inputs = [] }, "inputs", "at least 1"),
            (new() { Inputs = [TextInput.Of("")] }, "inputs[0]", "empty"),
            (new() { Inputs = [TextInput.OfIds([])] }, "inputs[0]", "at least 1"),
            (new() { Inputs = [TextInput.OfIds([99])] }, "inputs[0][0]", "11"),
            (new() { Inputs = cat, Pooling = "average" }, "pooling", "mean_sqrt_len"),
            (new() { Inputs = cat, Dimensions = 0 }, "dimensions", "1 to 3"),
            (new() { Inputs = cat, Dimensions = 4 }, "dimensions", "1 to 3"),
            (new() { Inputs = cat, Dimensions = 4, Level = EmbeddingLevel.Token }, "dimensions", "1 to 3"),
            (new() { Inputs = cat, PromptName = "passage" }, "prompt_name", "has the prompts query"),
            (new() { Inputs = [TextInput.OfIds([5])], PromptName = "query" }, "prompt_name", "token ids"),
            (new() { Inputs = cat, Truncate = true, Split = true }, "split", "exclude"),
            (new() { Inputs = cat, TruncationDirection = Side.Left }, "truncation_direction", "truncate"),
            (new() { Inputs = cat, Level = EmbeddingLevel.Token, Pooling = "cls" }, "pooling", "sequence"),
            (new() { Inputs = cat, Level = EmbeddingLevel.Token, Split = true }, "split", "sequence"),
            (new() { Inputs = [TextInput.Of("cat", "sat")], Split = true }, "split", "pair"),
        ];
        foreach (var (request, field, said) in cases)
        {
            var error = await Refused(model, request);
            Assert.Equal(field, Wire.Field(error));
            Assert.Contains(said, Wire.Detail(error), StringComparison.Ordinal);
        }

        Assert.Equal(0, queue.Runs);
    }

    [Theory]
    [InlineData("cosine")]
    [InlineData("dot")]
    public async Task Contributions_add_up_to_the_score(string function)
    {
        var pipeline = TinyModel.Pipeline(new PoolingModule([PoolingMode.Mean])) with { Similarity = function };
        var result = await new SimilarityTask().RunAsync(TinyModel.Create(pipeline), new() { Source = "the cats", Sentences = ["cat sitting", "the"], Explain = true }, new RequestContext());
        var plain = await new SimilarityTask().RunAsync(TinyModel.Create(pipeline), new() { Source = "the cats", Sentences = ["cat sitting", "the"] }, new RequestContext());
        Assert.Equal(function, result.Function);
        for (var i = 0; i < 2; i++)
        {
            var sum = result.Explanations![i].Contributions.Sum(row => row.Sum(c => (double)c));
            Assert.Equal(plain.Scores[i], sum, 1e-5 * Math.Max(1, Math.Abs(sum)));
            Assert.Equal(plain.Scores[i], result.Scores[i], 1e-5);
        }

        Assert.Equal(new SimilarityToken("##s", 7, 8), result.Explanations![0].SourceTokens[3]);
        Assert.Equal(result.Explanations[1].SentenceTokens.Count, result.Explanations[1].Contributions[0].Length);
    }

    [Theory]
    [InlineData("cosine", 0.6f)]
    [InlineData("dot", 3f)]
    [InlineData("euclidean", -4.472136f)]
    [InlineData("manhattan", -6f)]
    public void Scores_are_more_for_more_alike(string function, float expected) => Assert.Equal(expected, SimilarityTask.Score(function, [1, 0], [3, 4]), 1e-5f);

    [Fact]
    public async Task What_cannot_be_explained_says_why()
    {
        (SentencePipeline Pipeline, string Said)[] cases =
        [
            (TinyModel.Pipeline(new PoolingModule([PoolingMode.Cls])), "cls"),
            (TinyModel.Pipeline(new PoolingModule([PoolingMode.Mean]), new DenseModule(3, 1, [1, 1, 1], null, "Identity")), "Dense"),
            (TinyModel.Pipeline(new PoolingModule([PoolingMode.Mean])) with { Similarity = "euclidean" }, "euclidean"),
        ];
        foreach (var (pipeline, said) in cases)
        {
            var error = await Assert.ThrowsAsync<InferenceException>(() => new SimilarityTask().RunAsync(TinyModel.Create(pipeline), new() { Source = "cat", Sentences = ["cat"], Explain = true }, new RequestContext()));
            Assert.Equal("explain", Wire.Field(error));
            Assert.Contains(said, Wire.Detail(error), StringComparison.Ordinal);
        }
    }

    private static Task<EmbeddingsResult> Run(Model model, EmbeddingsRequest request) => new EmbeddingsTask().RunAsync(model, request, new RequestContext());

    private static Task<InferenceException> Refused(Model model, EmbeddingsRequest request) => Assert.ThrowsAsync<InferenceException>(() => Run(model, request));
}
