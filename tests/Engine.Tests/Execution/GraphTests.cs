using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace InferenceServer.Engine.Tests.Execution;

/// <summary>Real graphs of every input convention against the reference's values: alone, in a padded batch, and among many.</summary>
public sealed class GraphTests
{
    [Theory]
    [InlineData("bert-fill-mask-eager")]
    [InlineData("bert-embed-sdpa")]
    [InlineData("gpt2-with-past")]
    [InlineData("qwen2-with-past")]
    [InlineData("llama-dynamo")]
    public void The_bytes_of_attention_are_known_before_the_run(string folder)
    {
        using var zoo = ZooGraph.Load(folder);
        var ids = zoo.Cases[0].Input;
        var bytes = 0L;
        Checks.AtLeast(2, zoo.Summary.Attention.Count, "layers");
        foreach (var tap in zoo.Summary.Attention)
        {
            using var run = zoo.Attention.Run([ids], [tap.Output], CancellationToken.None);
            bytes += run.Row(tap.Output, 0).Data.Length * 4L;
        }

        Assert.Equal(bytes, zoo.Graph.RunBytes(OutputSet.Attention, 1, ids.Length) - zoo.Graph.RunBytes(OutputSet.Plain, 1, ids.Length));
    }

    [Theory]
    [InlineData("bert-fill-mask-eager", null, "logits")]
    [InlineData("bert-external-data", null, "logits")]
    [InlineData("bert-int8", "model_quantized.onnx", "logits")]
    [InlineData("bert-fp16", "model_fp16.onnx", "logits")]
    [InlineData("bert-fp16", "model_fp16_io.onnx", "logits")]
    [InlineData("bert-embed-sdpa", null, "last_hidden_state")]
    [InlineData("albert-embed", null, "last_hidden_state")]
    [InlineData("bert-dynamo", null, "logits")]
    [InlineData("distilbert-classify", null, "logits")]
    [InlineData("gpt2-with-past", null, "logits")]
    [InlineData("gpt2-no-past", null, "logits")]
    [InlineData("gpt2-merged-old", "decoder_model_merged.onnx", "logits")]
    [InlineData("gptneox-with-past", null, "logits")]
    [InlineData("qwen2-with-past", null, "logits")]
    [InlineData("llama-genai-gqa", null, "logits")]
    [InlineData("llama-fp16", "model_fp16.onnx", "logits")]
    [InlineData("llama-dynamo", null, "logits")]
    [InlineData("llama-dynamo-opset23", null, "logits")]
    [InlineData("marian-en-pt", null, "last_hidden_state")]
    [InlineData("bart-old", null, "last_hidden_state")]
    [InlineData("t5-small-like", null, "last_hidden_state")]
    public async Task Gives_the_reference_alone_in_a_batch_and_among_many(string folder, string? file, string output)
    {
        using var zoo = ZooGraph.Load(folder, file);
        WarmUp.Run(zoo.Graph, zoo.Summary, [.. zoo.Cases.OrderBy(c => c.Input.Length).Select(c => c.Input).Take(2)], cancellation: TestContext.Current.CancellationToken);
        var options = new QueueOptions();
        var scheduler = new Scheduler(2, options, new BatchPlanner(options, 1024, 2));
        using var workers = new WorkerPool(scheduler, NullLogger.Instance);
        await using var queue = new GraphExecutor(folder, zoo.Graph, new Admission(options), scheduler);

        // Alone.
        var alone = new List<float[]>();
        var compared = 0;
        foreach (var (id, input) in zoo.Cases)
        {
            var values = await RunAsync(queue, input, output);
            alone.Add(values);
            foreach (var (reference, position) in zoo.References(id, output, input.InputIds.Length))
            {
                var width = position is null ? 0 : reference.Length;
                var got = position is { } p && values.Length > width ? values.AsSpan(p * width, width).ToArray() : values;
                Close(reference, got, zoo.Tolerance, $"{folder} {id} against the reference");
                compared++;
            }
        }

        Checks.AtLeast(3, compared, "values of the reference");

        // Together, in one padded batch where the graph allows it.
        var equal = zoo.Tolerance > 1e-3 ? zoo.Tolerance : 1e-4;
        if (zoo.Graph.Constraints is { MaxSequences: > 1, EqualLengthsOnly: false })
        {
            using var batch = zoo.Graph.Run([.. zoo.Cases.Select(c => c.Input)], [output], TestContext.Current.CancellationToken);
            for (var row = 0; row < zoo.Cases.Count; row++)
            {
                Close(alone[row], ZooGraph.Valid(new RowOutputs(batch, row, zoo.Cases[row].Input.InputIds.Length), output), equal, $"{folder} case{row} in a batch");
            }
        }

        // Among 64 at once.
        var many = await Task.WhenAll(Enumerable.Range(0, 64).Select(i => RunAsync(queue, zoo.Cases[i % zoo.Cases.Count].Input, output)));
        for (var i = 0; i < many.Length; i++)
        {
            Close(alone[i % zoo.Cases.Count], many[i], equal, $"{folder} request {i} among 64");
        }
    }

    [Fact]
    public void Quantised_activations_are_never_mixed()
    {
        using var zoo = ZooGraph.Load("bert-int8", "model_quantized.onnx");
        Assert.Equal(1, zoo.Graph.Constraints.MaxSequences);
    }

    [Fact]
    public void An_id_outside_the_vocabulary_is_the_inputs_fault()
    {
        using var zoo = ZooGraph.Load("bert-fill-mask-eager");
        var e = Assert.Throws<InferenceException>(() => zoo.Graph.Run([new GraphInput([2, 1_000_000, 3], null)], ["logits"], TestContext.Current.CancellationToken));
        Assert.Equal(ErrorCode.Unprocessable, e.Code);
        Assert.DoesNotContain("/", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_ends_when_it_is_terminated()
    {
        using var zoo = ZooGraph.Load("bert-fill-mask-eager");
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => zoo.Graph.Opened(OutputSet.Plain, 1)!.Run([new GraphInput([2, 3])], ["logits"], stop.Token));
    }

    [Fact]
    public void A_decoder_that_needs_encoder_states_is_refused_by_the_inputs_name()
    {
        var path = Path.Combine(TestData.Zoo, "bart-old", "decoder_model.onnx");
        path = File.Exists(path) ? path : Path.Combine(TestData.Zoo, "bart-old", "onnx", "decoder_model.onnx");
        var config = ModelManifest.Read(Path.Combine(TestData.Zoo, "bart-old")).Config;
        var graph = OnnxGraph.Read(path, config);
        var e = Assert.Throws<ModelLoadException>(() => Graph.Open(new GraphSource(graph.Summary, config, _ => null), ZooGraph.Cpu, cancellation: TestContext.Current.CancellationToken));
        Assert.Contains("encoder_", e.Message, StringComparison.Ordinal);
        Assert.Contains("input_ids", e.Message, StringComparison.Ordinal);
    }

    private static async Task<float[]> RunAsync(GraphExecutor queue, GraphInput input, string output) =>
        (await queue.RunAsync([input], [output], (_, row) => ZooGraph.Valid(row, output), new RequestContext(TestContext.Current.CancellationToken)))[0];

    private static void Close(float[] expected, float[] actual, double tolerance, string what)
    {
        Assert.True(expected.Length == actual.Length, $"{what}: {actual.Length} values instead of {expected.Length}");
        var worst = expected.Zip(actual, (a, b) => Math.Abs(a - b)).Max();
        Assert.True(worst <= tolerance, $"{what}: differs by {worst}");
    }
}
