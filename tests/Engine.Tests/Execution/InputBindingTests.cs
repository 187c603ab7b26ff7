using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Serving;
using Xunit;

namespace InferenceServer.Engine.Tests.Execution;

/// <summary>What is fed, by role, whatever the order, the type and the shape that a graph declares.</summary>
public sealed class InputBindingTests
{
    private static readonly GraphInput Long = new([5, 6, 7], [0, 1, 1]);
    private static readonly GraphInput Short = new([8], null);

    [Theory]
    [InlineData("input_ids", TinyGraph.Int64, new float[] { 5, 6, 7, 8, 99, 99 })]
    [InlineData("input_ids:0", TinyGraph.Int32, new float[] { 5, 6, 7, 8, 99, 99 })]
    [InlineData("attention_mask", TinyGraph.Int64, new float[] { 1, 1, 1, 1, 0, 0 })]
    [InlineData("attention_mask", TinyGraph.Float, new float[] { 1, 1, 1, 1, 0, 0 })]
    [InlineData("attention_mask", TinyGraph.Bool, new float[] { 1, 1, 1, 1, 0, 0 })]
    [InlineData("input_mask", TinyGraph.Int32, new float[] { 1, 1, 1, 1, 0, 0 })]
    [InlineData("token_type_ids", TinyGraph.Int32, new float[] { 0, 1, 1, 0, 0, 0 })]
    [InlineData("segment_ids", TinyGraph.Int64, new float[] { 0, 1, 1, 0, 0, 0 })]
    [InlineData("position_ids", TinyGraph.Int64, new float[] { 0, 1, 2, 0, 1, 2 })]
    public void Rows_are_padded_at_the_right_and_filled_by_role(string name, int type, float[] expected)
    {
        var graph = new TinyGraph().Input(name, type, "batch", "sequence").Node("Cast", [name], "y", ("to", TinyGraph.Float)).Output("y", TinyGraph.Float, "batch", "sequence");
        if (!name.StartsWith("input_ids", StringComparison.Ordinal))
        {
            graph.Input("input_ids", TinyGraph.Int64, "batch", "sequence"); // after it: bound by name
        }

        Assert.Equal(expected, Run(graph, "y"));
    }

    [Fact]
    public void Positions_begin_where_the_graph_begins_to_count()
    {
        using var session = Ids().Input("position_ids", TinyGraph.Int64, "batch", "sequence").Node("Cast", ["position_ids"], "y", ("to", TinyGraph.Float)).Output("y", TinyGraph.Float, "batch", "sequence").Load();
        session.FirstPosition = 2;
        using var run = session.Run([Long], ["y"], TestContext.Current.CancellationToken);
        Assert.Equal([2, 3, 4], run.Row("y", 0).Data.ToArray());
    }

    [Theory]
    [InlineData(130, 1, 128, 2)] // RoBERTa: pad_token_id 1, 128 positions
    [InlineData(128, 1, 128, 0)]
    [InlineData(130, 1, 130, 0)]
    [InlineData(130, null, 128, 0)]
    public void Where_positions_begin_is_said_by_config_and_table_together(int rows, int? pad, int positions, int first)
    {
        var graph = new GraphSummary { File = "x", Inputs = [new GraphTensor("position_ids", ElementType.Int64, ["b", "s"])], Outputs = [], Attention = [], PositionRows = rows };
        var config = ModelConfig.From(default) with { PadTokenId = pad, MaxPositions = positions };
        Assert.Equal(first, ModelBuilder.FirstPosition(config, graph));
        Assert.Equal(0, ModelBuilder.FirstPosition(config, graph with { Inputs = [] }));
    }

    [Theory]
    [InlineData(TinyGraph.Int64)]
    [InlineData(TinyGraph.Float)]
    public void An_input_without_a_role_gets_the_value_that_was_set(int type)
    {
        TinyGraph Graph() => Ids().Input("task_id", type, "batch", "sequence").Node("Cast", ["task_id"], "y", ("to", TinyGraph.Float)).Output("y", TinyGraph.Float, "batch", "sequence");
        using var session = Graph().Load(given: Given(("task_id", 4)));
        using var run = session.Run([Long], ["y"], TestContext.Current.CancellationToken);
        Assert.Equal([4, 4, 4], run.Row("y", 0).Data.ToArray());

        Refused(() => Graph().Load(given: Given()), "Models:x:Inputs:task_id");
        Refused(() => Graph().Load(given: Given() with { TextFile = "onnx/text_model.onnx" }), "onnx/text_model.onnx");
        Refused(() => Graph().Load(given: Given(("task_id", 4), ("other", 1))), "Models:x:Inputs:other");
        Refused(() => Graph().Load(given: Given(("task_id", long.MaxValue))), "Models:x:Inputs:task_id");

        static GivenInputs Given(params (string Name, long Value)[] values) => new("Models:x", values.ToDictionary(v => v.Name, v => v.Value), null);
        static void Refused(Func<Graph> load, string says) => Assert.Contains(says, Assert.Throws<ModelLoadException>(load).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_graph_that_gives_no_numbers_for_any_text_is_refused_with_the_cause()
    {
        // The logarithm of what is below 0.
        using var session = Ids().Input("attention_mask", TinyGraph.Int64, "batch", "sequence").Node("Cast", ["input_ids"], "ids", ("to", TinyGraph.Float)).Node("Neg", ["ids"], "less").Node("Log", ["less"], "y").Output("y", TinyGraph.Float, "batch", "sequence").Load();
        var summary = new GraphSummary { File = "tiny.onnx", Inputs = [], Outputs = [], Attention = [], WeightType = "float16" };
        var error = Assert.Throws<ModelLoadException>(() => WarmUp.Run(session, summary, [Short, Long], cancellation: TestContext.Current.CancellationToken));
        Assert.Contains("'y'", error.Message, StringComparison.Ordinal);
        Assert.Contains("half precision", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_graph_that_changes_short_rows_beside_long_ones_runs_one_at_a_time_and_says_so()
    {
        // y = ids + (e^length - e^length), which is no number any more where the padded length is above 88.
        TinyGraph Graph() => Ids().Input("attention_mask", TinyGraph.Int64, "batch", "sequence").Node("Cast", ["input_ids"], "ids", ("to", TinyGraph.Float)).Node("Shape", ["input_ids"], "shape")
            .Node("ReduceMax", ["shape"], "length", ("keepdims", 0)).Node("Cast", ["length"], "n", ("to", TinyGraph.Float)).Node("Exp", ["n"], "e").Node("Sub", ["e", "e"], "none").Node("Add", ["ids", "none"], "y")
            .Output("y", TinyGraph.Float, "batch", "sequence");
        var summary = new GraphSummary { File = "tiny.onnx", Inputs = [], Outputs = [], Attention = [] };
        using var near = Graph().Load();
        Assert.Null(WarmUp.Run(near, summary, [Short, Long], longest: 80, cancellation: TestContext.Current.CancellationToken).Note);
        using var far = Graph().Load();
        Assert.Contains("129 tokens", WarmUp.Run(far, summary, [Short, Long], longest: 512, cancellation: TestContext.Current.CancellationToken).Note, StringComparison.Ordinal);
        Assert.Equal(1, far.Constraints.MaxSequences);
    }

    [Theory]
    [InlineData("seqlens_k", new float[] { 2, 0 })]
    public void Lengths_are_given_by_row(string name, float[] expected) =>
        Assert.Equal(expected, Run(Ids().Input(name, TinyGraph.Int32, "batch").Node("Cast", [name], "y", ("to", TinyGraph.Float)).Output("y", TinyGraph.Float, "batch"), "y"));

    [Theory]
    [InlineData("total_sequence_length", TinyGraph.Int32, 3f)]
    [InlineData("past_sequence_length", TinyGraph.Int64, 0f)]
    [InlineData("num_logits_to_keep", TinyGraph.Int64, 0f)]
    public void Numbers_are_given_as_scalars(string name, int type, float expected)
    {
        var graph = Ids().Input(name, type).Node("Cast", ["input_ids"], "ids", ("to", TinyGraph.Float)).Node("Cast", [name], "n", ("to", TinyGraph.Float))
            .Node("Sub", ["ids", "ids"], "zero").Node("Add", ["zero", "n"], "y").Output("y", TinyGraph.Float, "batch", "sequence");
        Assert.All(Run(graph, "y"), v => Assert.Equal(expected, v));
    }

    [Theory]
    [InlineData(TinyGraph.Float)]
    [InlineData(TinyGraph.Float16)]
    [InlineData(TinyGraph.BFloat16)]
    public void Outputs_of_other_element_types_are_widened(int type)
    {
        var graph = Ids().Node("Cast", ["input_ids"], "y", ("to", type)).Output("y", type, "batch", "sequence");
        Assert.Equal([5, 6, 7, 8, 99, 99], Run(graph, "y"));
    }

    [Fact]
    public void A_past_has_no_length_and_takes_missing_sizes_from_the_config()
    {
        var graph = Ids().Input("past_key_values.0.key", TinyGraph.Float16, "batch", "heads", "past", "size")
            .Node("Shape", ["past_key_values.0.key"], "shape").Node("Cast", ["shape"], "sizes", ("to", TinyGraph.Float)).Node("Cast", ["input_ids"], "ids", ("to", TinyGraph.Float))
            .Node("Sub", ["ids", "ids"], "zero").Node("ReduceSum", ["zero"], "nothing", ("keepdims", 0)).Node("Add", ["sizes", "nothing"], "y").Output("y", TinyGraph.Float, 4);
        var config = ModelConfig.From(System.Text.Json.JsonDocument.Parse("""{"hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2}""").RootElement);
        using var session = graph.Load(config);
        using var run = session.Run([Long, Short], ["y"], TestContext.Current.CancellationToken);
        Assert.Equal([2, 2, 0, 6], run.Row("y", 0).Data.ToArray().Concat(run.Row("y", 1).Data.ToArray()));
    }

    [Fact]
    public void A_past_whose_size_nobody_says_is_refused()
    {
        var graph = Ids().Input("past_key_values.0.key", TinyGraph.Float, "batch", "heads", "past", "size").Node("Identity", ["past_key_values.0.key"], "y").Output("y", TinyGraph.Float, "a", "b", "c", "d");
        var e = Assert.Throws<ModelLoadException>(() => graph.Load());
        Assert.Contains("past_key_values.0.key", e.Message, StringComparison.Ordinal);
        Assert.Contains("config.json", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("pixel_values", TinyGraph.Float, "pixel_values")]
    [InlineData("encoder_hidden_states", TinyGraph.Float, "encoder_hidden_states")]
    [InlineData("attention_mask", TinyGraph.Float16, "attention_mask")]
    public void An_input_that_cannot_be_fed_is_refused_by_name(string name, int type, string named)
    {
        var graph = Ids().Input(name, type, "batch", "sequence").Node("Identity", [name], "y").Output("y", type, "batch", "sequence");
        Assert.Contains($"'{named}'", Assert.Throws<ModelLoadException>(() => graph.Load()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_graph_without_token_ids_is_refused()
    {
        var graph = new TinyGraph().Input("attention_mask", TinyGraph.Int64, "batch", "sequence").Node("Identity", ["attention_mask"], "y").Output("y", TinyGraph.Int64, "batch", "sequence");
        Assert.Contains("input_ids", Assert.Throws<ModelLoadException>(() => graph.Load()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_graph_without_a_mask_takes_equal_lengths_only()
    {
        using var session = Ids().Node("Cast", ["input_ids"], "y", ("to", TinyGraph.Float)).Output("y", TinyGraph.Float, "batch", "sequence").Load();
        Assert.True(session.Constraints.EqualLengthsOnly);
    }

    [Fact]
    public void A_graph_of_fixed_shape_takes_its_own_batch_and_length()
    {
        using var session = new TinyGraph().Input("input_ids", TinyGraph.Int64, 1, 4).Input("attention_mask", TinyGraph.Int64, 1, 4)
            .Node("Mul", ["input_ids", "attention_mask"], "masked").Node("Cast", ["masked"], "y", ("to", TinyGraph.Float)).Output("y", TinyGraph.Float, 1, 4).Load();
        Assert.Equal(new BatchConstraints(1, false, 4), session.Constraints);
        using var run = session.Run([Long], ["y"], TestContext.Current.CancellationToken);
        Assert.Equal([5, 6, 7, 0], run.Row("y", 0).Data.ToArray());
        Assert.Equal(ErrorCode.Unprocessable, Assert.Throws<InferenceException>(() => session.Run([new GraphInput([1, 2, 3, 4, 5], null)], ["y"], TestContext.Current.CancellationToken)).Code);
    }

    [Fact]
    public void A_graph_whose_rows_depend_on_each_other_runs_one_at_a_time_and_says_so()
    {
        // y = ids - mean of all ids of the batch, padding included.
        using var session = Ids().Input("attention_mask", TinyGraph.Int64, "batch", "sequence").Node("Cast", ["input_ids"], "ids", ("to", TinyGraph.Float))
            .Node("ReduceMean", ["ids"], "mean", ("keepdims", 0)).Node("Sub", ["ids", "mean"], "y").Output("y", TinyGraph.Float, "batch", "sequence").Load();
        var (_, note) = WarmUp.Run(session, new GraphSummary { File = "tiny.onnx", Inputs = [], Outputs = [], Attention = [] }, [Short, Long], cancellation: TestContext.Current.CancellationToken);
        Assert.Contains("one at a time", note, StringComparison.Ordinal);
        Assert.Equal(1, session.Constraints.MaxSequences);
    }

    [Fact]
    public void A_graph_that_fails_on_a_batch_runs_one_at_a_time_and_says_so()
    {
        // ids [batch, sequence] x ids [batch, sequence] multiply as matrices only when the batch and the sequence agree, here 1 x 1.
        using var session = Ids().Input("attention_mask", TinyGraph.Int64, "batch", "sequence").Node("Cast", ["input_ids"], "ids", ("to", TinyGraph.Float))
            .Node("MatMul", ["ids", "ids"], "y").Output("y", TinyGraph.Float, "batch", "sequence").Load();
        var (_, note) = WarmUp.Run(session, new GraphSummary { File = "tiny.onnx", Inputs = [], Outputs = [], Attention = [] }, [Short, new GraphInput([9], null)], cancellation: TestContext.Current.CancellationToken);
        Assert.Contains("one at a time", note, StringComparison.Ordinal);
        Assert.Equal(1, session.Constraints.MaxSequences);
    }

    [Fact]
    public void The_first_runs_show_the_shapes_that_the_file_leaves_open()
    {
        using var session = Ids().Node("Cast", ["input_ids"], "ids", ("to", TinyGraph.Float))
            .Output("ids", TinyGraph.Float, "a", "b").Load();
        var summary = new GraphSummary { File = "tiny.onnx", Inputs = [], Outputs = [new GraphTensor("ids", ElementType.Float, null)], Attention = [] };
        var shape = WarmUp.Run(session, summary, [Long, Long], cancellation: TestContext.Current.CancellationToken).Summary.Outputs[0].Shape;
        Assert.Equal(["?", "?"], shape); // as long as the input: not a size
    }

    [Fact]
    public void A_size_that_does_not_follow_the_input_is_known_after_the_first_runs()
    {
        using var session = Ids().Node("Cast", ["input_ids"], "ids", ("to", TinyGraph.Float)).Node("ReduceSum", ["ids"], "sum", ("keepdims", 1)).Output("sum", TinyGraph.Float, "a", "b").Load();
        var outputs = (IReadOnlyList<string>?[])[null, ["batch", "labels"]];
        foreach (var declared in outputs)
        {
            var summary = new GraphSummary { File = "tiny.onnx", Inputs = [], Outputs = [new GraphTensor("sum", ElementType.Float, declared)], Attention = [] };
            Assert.Equal(1, WarmUp.Run(session, summary, [Long, Short], cancellation: TestContext.Current.CancellationToken).Summary.Outputs[0].FixedSize(1));
        }
    }

    private static TinyGraph Ids() => new TinyGraph().Input("input_ids", TinyGraph.Int64, "batch", "sequence");

    private static float[] Run(TinyGraph graph, string output)
    {
        using var session = graph.Load();
        session.PadId = 99;
        using var run = session.Run([Long, Short], [output]);
        return [.. run.Row(output, 0).Data, .. run.Row(output, 1).Data];
    }
}
