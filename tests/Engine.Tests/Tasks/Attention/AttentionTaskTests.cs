using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Attention;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Attention;

public class AttentionTaskTests
{
    [Fact]
    public async Task Everything_is_answered_without_padding()
    {
        var result = await Run(new() { Text = "the cats" });
        Assert.Equal(["layer", "head", "query", "key"], result.Axes);
        Assert.Equal([2, 2, 5, 5], result.Shape);
        Assert.Equal([0, 1], result.Layers);
        Assert.Null(result.KeyTokens);
        var i = 0;
        for (var l = 0; l < 2; l++)
        {
            for (var h = 0; h < 2; h++)
            {
                for (var q = 0; q < 5; q++)
                {
                    for (var k = 0; k < 5; k++)
                    {
                        Assert.Equal(TinyModel.Attention(l, h, q, k, 5), result.Values[i++]);
                    }
                }
            }
        }

        Assert.Equal(new AttentionToken(8, "##s", "s", 7, 8, false, 0), result.Tokens[3]);
        Assert.Equal(new AttentionToken(2, "[CLS]", "", 0, 0, true, 0), result.Tokens[0]);
        Assert.Equal(["/layer.0/Softmax", "/layer.1/Softmax"], result.Provenance.Tensors);
        Assert.Equal(("onnx/model.onnx", "ab12"), (result.Provenance.File, result.Provenance.Sha256));
    }

    [Fact]
    public async Task Selectors_keep_the_order_that_was_asked_for()
    {
        var result = await Run(new() { Text = "the cats", Layers = [1], Heads = [1, 0], QueryRange = (1, 3), KeyRange = (0, 4) });
        Assert.Equal([1, 2, 2, 4], result.Shape);
        Assert.Equal(TinyModel.Attention(1, 1, 2, 3, 5), result.Values[(1 * 4) + 3]);
        Assert.Equal(TinyModel.Attention(1, 0, 1, 2, 5), result.Values[(2 * 4) + 2]);
        Assert.Equal(["the", "cat"], result.Tokens.Select(token => token.Token));
        Assert.Equal(4, result.KeyTokens!.Count);
    }

    [Fact]
    public async Task A_typed_special_token_is_special_and_can_be_left_out()
    {
        var result = await Run(new() { Text = "the [MASK] cat", ExcludeSpecial = true, Renormalize = true, Layers = [0], Heads = [0] });
        Assert.Equal(["the", "cat"], result.Tokens.Select(token => token.Token)); // [CLS] the [MASK] cat [SEP]
        Assert.Equal([0.75f / 0.8125f, 0.0625f / 0.8125f, 0.0625f / 0.8125f, 0.75f / 0.8125f], result.Values, (a, b) => MathF.Abs(a - b) < 1e-6f);
        Assert.True((await Run(new() { Text = "the [MASK]" })).Tokens[2].Special);
    }

    [Fact]
    public async Task A_pair_has_four_blocks()
    {
        // [CLS] the cat [SEP] sat [SEP]: four tokens of a, two of b.
        foreach (var (pair, queries, keys) in new[] { (SegmentPair.Aa, 4, 4), (SegmentPair.Ab, 4, 2), (SegmentPair.Ba, 2, 4), (SegmentPair.Bb, 2, 2) })
        {
            var result = await Run(new() { Text = "the cat", TextPair = "sat", Pair = pair });
            Assert.Equal([2, 2, queries, keys], result.Shape);
        }

        var ba = await Run(new() { Text = "the cat", TextPair = "sat", Pair = SegmentPair.Ba, Layers = [1], Heads = [1] });
        Assert.Equal(TinyModel.Attention(1, 1, 4, 0, 6), ba.Values[0]); // 4 + 1 + 1 wraps to 0
        Assert.Equal(0.75f, ba.Values[0]);
        Assert.Equal(new AttentionToken(7, "sat", "sat", 0, 3, false, 1), ba.Tokens[0]);
        Assert.Equal([1, 1], ba.Tokens.Select(token => token.Segment));
    }

    [Fact]
    public async Task Means_and_maxima_go_over_heads_layers_or_both()
    {
        var heads = await Run(new() { Text = "cat", Aggregate = new(AggregateOver.Heads, AggregateMethod.Mean) }); // three tokens
        Assert.Equal(["layer", "query", "key"], heads.Axes);
        Assert.Equal([2, 3, 3], heads.Shape);
        Assert.Equal([0.4375f, 0.4375f, 0.125f], heads.Values[..3]); // (.75 + .125) / 2
        var layers = await Run(new() { Text = "cat", Aggregate = new(AggregateOver.Layers, AggregateMethod.Max) });
        Assert.Equal(["head", "query", "key"], layers.Axes);
        Assert.Equal([0.75f, 0.75f, 0.125f], layers.Values[..3]);
        var all = await Run(new() { Text = "cat", Aggregate = new(AggregateOver.All, AggregateMethod.Mean, Token: 1), KeyRange = (1, 3) });
        Assert.Equal([1, 2], all.Shape);
        Assert.Equal([(0.75f + 0.125f + 0.125f + 0.125f) / 4, (0.125f + 0.75f + 0.75f + 0.125f) / 4], all.Values, (a, b) => MathF.Abs(a - b) < 1e-6f);
    }

    [Fact]
    public async Task Rollout_and_flow_run_over_the_mean_of_the_heads()
    {
        // Three tokens. Layer 0, head mean plus residual, row 0: .5 [.4375 .4375 .125] + .5 [1 0 0] = [.71875 .21875 .0625], the other rows are its rotations.
        // Layer 1: row 0 of the mean is [.125 .4375 .4375], with the residual [.5625 .21875 .21875].
        var rollout = await Run(new() { Text = "cat", Aggregate = new(AggregateOver.All, AggregateMethod.Rollout) });
        Assert.Equal([3, 3], rollout.Shape);
        float[] expected = [(0.5625f * 0.71875f) + (0.21875f * 0.0625f) + (0.21875f * 0.21875f), (0.5625f * 0.21875f) + (0.21875f * 0.71875f) + (0.21875f * 0.0625f), (0.5625f * 0.0625f) + (0.21875f * 0.21875f) + (0.21875f * 0.71875f)];
        Assert.Equal(expected, rollout.Values[..3], (a, b) => MathF.Abs(a - b) < 1e-6f);

        var each = await Run(new() { Text = "cat", Aggregate = new(AggregateOver.Heads, AggregateMethod.Rollout) });
        Assert.Equal([2, 3, 3], each.Shape);
        Assert.Equal([0.71875f, 0.21875f, 0.0625f], each.Values[..3], (a, b) => MathF.Abs(a - b) < 1e-6f);
        Assert.Equal(rollout.Values, each.Values[9..], (a, b) => MathF.Abs(a - b) < 1e-6f);

        var flow = await Run(new() { Text = "cat", Aggregate = new(AggregateOver.All, AggregateMethod.Flow, Token: 0) });
        Assert.Equal([1, 3], flow.Shape);
        Assert.Equal(0.5625f + 0.0625f + 0.21875f, flow.Values[0], 1e-5f); // min(.5625, .71875) + min(.21875, .0625) + min(.21875, .21875)

        var head = await Run(new() { Text = "cat", Aggregate = new(AggregateOver.Layers, AggregateMethod.Rollout, Token: 0), Heads = [1] });
        Assert.Equal([1, 1, 3], head.Shape); // head 1: rows [.125 .75 .125] and [.125 .125 .75], with the residual [.5625 .375 .0625] and [.5625 .0625 .375]
        Assert.Equal((0.5625f * 0.5625f) + (0.0625f * 0.0625f) + (0.375f * 0.375f), head.Values[0], 1e-6f);
    }

    [Fact]
    public async Task Words_sum_their_keys_and_average_their_queries()
    {
        // [CLS] the cat ##s [SEP]
        var result = await Run(new() { Text = "the cats", Merge = AttentionUnit.Word, Layers = [0], Heads = [0] });
        Assert.Equal([1, 1, 4, 4], result.Shape);
        Assert.Equal([0.75f, 0.0625f, 0.125f, 0.0625f], result.Values[..4]);
        Assert.Equal([0.0625f, 0.0625f, 0.8125f, 0.0625f], result.Values[8..12]);
        Assert.Equal(new AttentionToken(6, "cat##s", "cats", 4, 8, false, 0), result.Tokens[2]);
        var one = await Run(new() { Text = "the cats", Merge = AttentionUnit.Word, Layers = [0], Heads = [0], QueryRange = (2, 3), ExcludeSpecial = true });
        Assert.Equal([0.0625f, 0.8125f], one.Values);
    }

    [Fact]
    public async Task Ready_ids_go_in_as_they_are()
    {
        var result = await Run(new() { InputIds = [6, 3] });
        Assert.Equal([2, 2, 2, 2], result.Shape);
        Assert.Equal(["cat", "[SEP]"], result.Tokens.Select(token => token.Token));
        Assert.Equal([false, true], result.Tokens.Select(token => token.Special));
    }

    [Fact]
    public async Task Statistics_describe_every_chosen_head()
    {
        var result = await Run(new() { Text = "the cats", Heads = [1], Statistics = true, Layers = [0], QueryRange = (0, 1) });
        var head = Assert.Single(result.Statistics!);
        Assert.Equal(((4 * 0.75f) + 0) / 5, head.Next, 1e-6f); // the last query wraps around to the first token
        Assert.Equal("next", head.Pattern);
        Assert.Equal((float)-((0.75 * Math.Log(0.75)) + (4 * 0.0625 * Math.Log(0.0625))), head.Entropy, 1e-5f);
    }

    [Theory]
    [InlineData(AttentionFormat.Npy, "float32")]
    [InlineData(AttentionFormat.Safetensors, "float32")]
    [InlineData(AttentionFormat.F16Base64, "float16")]
    [InlineData(AttentionFormat.U8, "uint8")]
    public async Task A_format_comes_with_its_bytes(AttentionFormat format, string type)
    {
        var result = await Run(new() { Text = "the cats", Format = format });
        Assert.Equal(type, result.DataType);
        Assert.NotEmpty(result.Payload!.ToArray());
    }

    [Fact]
    public async Task Too_large_an_answer_is_refused_before_the_model_runs()
    {
        var queue = new FakeExecutor(TinyModel.Run);
        var error = await Assert.ThrowsAsync<InferenceException>(() => new AttentionTask().RunAsync(TinyModel.Create(executor: queue), new() { Text = "the cats", MaxAnswerBytes = 1500 }, new RequestContext()));
        Assert.Equal(ErrorCode.TooLarge, error.Code);
        Assert.Contains("1900 bytes", Wire.Detail(error), StringComparison.Ordinal); // 2 x 2 x 5 x 5 x 13 + 5 x 120
        Assert.Contains("1500", Wire.Detail(error), StringComparison.Ordinal);
        Assert.Contains("aggregate", Wire.Detail(error), StringComparison.Ordinal);
        Assert.Equal(0, queue.Runs);
        Assert.NotNull(await new AttentionTask().RunAsync(TinyModel.Create(executor: queue), new() { Text = "the cats", MaxAnswerBytes = 1500, Layers = [0] }, new RequestContext()));
    }

    [Fact]
    public async Task Bad_selectors_are_named_before_the_model_runs()
    {
        var queue = new FakeExecutor(TinyModel.Run);
        var rollout = new AttentionAggregate(AggregateOver.All, AggregateMethod.Rollout);
        (AttentionRequest Request, string Field, string Said)[] cases =
        [
            (new(), "text", "input_ids"),
            (new() { Text = "cat", InputIds = [5] }, "text", "one of them"),
            (new() { Text = "" }, "text", "empty"),
            (new() { InputIds = [] }, "input_ids", "at least 1"),
            (new() { InputIds = [5], TextPair = "cat" }, "text_pair", "input_ids"),
            (new() { InputIds = [12] }, "input_ids[0]", "11"),
            (new() { Text = "cat", Layers = [2] }, "layers[0]", "0 to 1"),
            (new() { Text = "cat", Layers = [0, -1] }, "layers[1]", "0 to 1"),
            (new() { Text = "cat", Layers = [] }, "layers", "at least 1"),
            (new() { Text = "cat", Heads = [0, 0] }, "heads[1]", "once"),
            (new() { Text = "cat", Heads = [2] }, "heads[0]", "0 to 1"),
            (new() { Text = "cat", Kind = AttentionKind.Cross }, "kind", "offers encoder"),
            (new() { Text = "cat", TargetText = "gato" }, "target_text", "encoder"),
            (new() { Text = "cat", TargetIds = [1] }, "target_ids", "encoder"),
            (new() { Text = "cat", Components = [AttentionPart.Q] }, "components[0]", "shows none"),
            (new() { Text = "cat", QueryRange = (0, 4) }, "query_range", "3 tokens"),
            (new() { Text = "cat", KeyRange = (2, 2) }, "key_range", "from < to"),
            (new() { Text = "cat", KeyRange = (-1, 2) }, "key_range", "3 tokens"),
            (new() { Text = "cat", QueryRange = (0, 1), ExcludeSpecial = true }, "query_range", "queries"),
            (new() { InputIds = [2, 3], ExcludeSpecial = true }, "exclude_special", "Nothing is left"),
            (new() { Text = "cat", Pair = SegmentPair.Ab }, "pair", "text_pair"),
            (new() { Text = "cat", TopK = 0 }, "top_k", "at least 1"),
            (new() { Text = "cat", Threshold = 1.5f }, "threshold", "0 to 1"),
            (new() { Text = "cat", Threshold = float.NaN }, "threshold", "0 to 1"),
            (new() { Text = "cat", Aggregate = rollout with { Method = AggregateMethod.Flow } }, "aggregate.token", "position"),
            (new() { Text = "cat", Aggregate = rollout with { Token = 3 } }, "aggregate.token", "0 to 2"),
            (new() { Text = "cat", Aggregate = rollout with { Token = 0 }, ExcludeSpecial = true }, "aggregate.token", "leave out"),
            (new() { Text = "cat", Aggregate = rollout with { Token = 1 }, QueryRange = (0, 1) }, "query_range", "exclude"),
            (new() { Text = "cat", Aggregate = rollout with { Token = 1 }, Merge = AttentionUnit.Word }, "merge", "token"),
            (new() { Text = "the cats the cats the cats the cats" }, "text", "at most 12"),
        ];
        foreach (var (request, field, said) in cases)
        {
            var error = await Assert.ThrowsAsync<InferenceException>(() => new AttentionTask().RunAsync(TinyModel.Create(executor: queue), request, new RequestContext()));
            Assert.Equal((ErrorCode.Unprocessable, field), (error.Code, Wire.Field(error)));
            Assert.Contains(said, Wire.Detail(error), StringComparison.Ordinal);
        }

        Assert.Equal(0, queue.Runs);
    }

    [Fact]
    public async Task A_graph_that_shows_nothing_says_which_operator_hides_it()
    {
        var model = TinyModel.Create();
        model = model with { Graph = model.Graph with { Attention = [], AttentionUnavailable = "The operator com.microsoft.Fused hides it; export without fusion." } };
        var error = await Assert.ThrowsAsync<InferenceException>(() => new AttentionTask().RunAsync(model, new() { Text = "cat" }, new RequestContext()));
        Assert.Contains("com.microsoft.Fused", Wire.Detail(error), StringComparison.Ordinal);
        Assert.Contains("com.microsoft.Fused", new AttentionTask().WhyNot(model), StringComparison.Ordinal);
    }

    private static Task<AttentionResult> Run(AttentionRequest request) => new AttentionTask().RunAsync(TinyModel.Create(), request, new RequestContext());
}
