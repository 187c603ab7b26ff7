using InferenceServer.Engine.Batching;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Loading;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Sessions;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace InferenceServer.Engine.Tests.Sessions;

/// <summary>Real graphs of every input convention against the reference's values: alone, in a padded batch, and among many.</summary>
public sealed class GraphSessionTests
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
        var length = ids.InputIds.Length;
        foreach (var tap in zoo.Summary.Attention)
        {
            using var run = zoo.Session.Run([new SequenceRow(ids.InputIds, ids.TypeIds)], [tap.Output], CancellationToken.None);
            Assert.Equal(run.Row(tap.Output, 0).Data.Length * 4L, zoo.Session.OutputBytes(tap.Output, 1, length));
        }
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
        WarmUp.Run(zoo.Session, zoo.Summary, [.. zoo.Cases.OrderBy(c => c.Input.InputIds.Length).Select(c => new SequenceRow(c.Input.InputIds, c.Input.TypeIds)).Take(2)]);
        await using var queue = new GraphQueue(zoo.Session, new QueueOptions { AgeLimit = TimeSpan.Zero }, 2, folder, NullLogger.Instance);

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

        Assert.True(compared > 0, "the folder has no reference for this output");

        // Together, in one padded batch where the graph allows it.
        var equal = zoo.Tolerance > 1e-3 ? zoo.Tolerance : 1e-4;
        if (zoo.Session.Rules is { MaxSequences: > 1, EqualLengthsOnly: false })
        {
            using var batch = zoo.Session.Run([.. zoo.Cases.Select(c => new SequenceRow(c.Input.InputIds, c.Input.TypeIds))], [output], CancellationToken.None);
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
        Assert.Equal(1, zoo.Session.Rules.MaxSequences);
    }

    [Fact]
    public void An_id_outside_the_vocabulary_is_the_inputs_fault()
    {
        using var zoo = ZooGraph.Load("bert-fill-mask-eager");
        var e = Assert.Throws<InferenceException>(() => zoo.Session.Run([new SequenceRow([2, 1_000_000, 3], null)], ["logits"], CancellationToken.None));
        Assert.Equal(ErrorKind.Unprocessable, e.Kind);
        Assert.DoesNotContain("/", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_ends_when_it_is_terminated()
    {
        using var zoo = ZooGraph.Load("bert-fill-mask-eager");
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => zoo.Session.Run([new SequenceRow([2, 3], null)], ["logits"], stop.Token));
    }

    [Fact]
    public void A_decoder_that_needs_encoder_states_is_refused_by_the_inputs_name()
    {
        var path = Path.Combine(TestData.Zoo, "bart-old", "decoder_model.onnx");
        path = File.Exists(path) ? path : Path.Combine(TestData.Zoo, "bart-old", "onnx", "decoder_model.onnx");
        var config = ModelManifest.Read(Path.Combine(TestData.Zoo, "bart-old")).Config;
        var graph = OnnxGraph.Read(path, config);
        var e = Assert.Throws<ModelLoadException>(() => GraphSession.Load(graph.Summary, null, config, ZooGraph.Cpu));
        Assert.Contains("encoder_", e.Message, StringComparison.Ordinal);
        Assert.Contains("input_ids", e.Message, StringComparison.Ordinal);
    }

    private static Task<float[]> RunAsync(GraphQueue queue, GraphInput input, string output) =>
        queue.RunAsync(input, [output], row => ZooGraph.Valid(row, output), new RequestContext(TestContext.Current.CancellationToken));

    private static void Close(float[] expected, float[] actual, double tolerance, string what)
    {
        Assert.True(expected.Length == actual.Length, $"{what}: {actual.Length} values instead of {expected.Length}");
        var worst = expected.Zip(actual, (a, b) => Math.Abs(a - b)).Max();
        Assert.True(worst <= tolerance, $"{what}: differs by {worst}");
    }
}
