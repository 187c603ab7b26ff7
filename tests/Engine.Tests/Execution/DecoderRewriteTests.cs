using System.Numerics.Tensors;
using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Serving;
using Xunit;

namespace InferenceServer.Engine.Tests.Execution;

/// <summary>Decoders of plain operators as grouped-query attention: which are, that they give the file's logits, and that one which would not is served as its file is.</summary>
public sealed class DecoderRewriteTests
{
    [Theory]
    [InlineData("llama-gqa-with-past", true)]
    [InlineData("gpt2-with-past", true)]
    [InlineData("qwen2-with-past", false)] // heads of 8: the operator turns multiples of 16
    [InlineData("gptneox-with-past", false)] // a part of each head is turned
    [InlineData("llama-genai-gqa", false)] // it is already
    [InlineData("llama-dynamo", false)] // without a cache
    [InlineData("gpt2-no-past", false)]
    [InlineData("bert-embed-sdpa", false)]
    public void Known_forms_are_rewritten(string folder, bool isRewritten)
    {
        using var graph = Open(folder, null);
        Assert.Equal(isRewritten, graph.IsRewritten);
    }

    // A scale, a number of heads, a cache of another kind: what the pattern does not show, the numbers do.
    [Fact]
    public void One_that_gives_other_logits_is_served_as_its_file_is()
    {
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(TestData.Zoo, "llama-gqa-with-past", "config.json")))!;
        config["num_attention_heads"] = 2 * (int)config["num_attention_heads"]!;
        using var graph = Open("llama-gqa-with-past", config.ToJsonString());
        Assert.False(graph.IsRewritten);
    }

    // A window is wider than a text that is tried at the loading.
    [Theory]
    [InlineData("sliding_window", "4096")]
    [InlineData("layer_types", """["full_attention", "sliding_attention"]""")]
    public void Layers_with_a_window_are_left_alone(string field, string value)
    {
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(TestData.Zoo, "llama-gqa-with-past", "config.json")))!;
        config[field] = JsonNode.Parse(value);
        using var graph = Open("llama-gqa-with-past", config.ToJsonString());
        Assert.False(graph.IsRewritten);
    }

    [Fact]
    public async Task Attention_is_the_files()
    {
        using var graph = Open("llama-gqa-with-past", null);
        using var file = ZooGraph.Load("llama-gqa-with-past");
        await graph.OpenAsync(OutputSet.Attention, 1);
        foreach (var (_, input) in file.Cases)
        {
            string[] names = [.. file.Summary.Attention.Select(tap => tap.Output)];
            using var own = graph.Opened(OutputSet.Attention, 1)!.Run([input], names, TestContext.Current.CancellationToken);
            using var reference = file.Attention.Run([input], names, TestContext.Current.CancellationToken);
            Assert.All(names, name => Assert.Equal(reference.Row(name, 0).Data.ToArray(), own.Row(name, 0).Data.ToArray()));
        }
    }

    [Fact]
    public void Another_accuracy_gives_other_logits_and_the_same_best_token()
    {
        const string Name = "SmolLM2-135M-Instruct";
        using var file = Open(Path.Combine(TestData.Models, Name), null);
        using var int8 = Open(Path.Combine(TestData.Models, Name), null, PackedProducts.Int8Activations);
        Assert.True(file.IsRewritten && int8.IsRewritten);
        GraphInput[] rows = [new([1, 9690, 198, 2683, 359, 253])];
        using var own = file.Run(rows, ["logits"], TestContext.Current.CancellationToken);
        using var other = int8.Run(rows, ["logits"], TestContext.Current.CancellationToken);
        var one = own.Row("logits", 0).Data;
        var two = other.Row("logits", 0).Data;
        var size = one.Length / rows[0].Length;
        Assert.Equal(TensorPrimitives.IndexOfMax(one[^size..]), TensorPrimitives.IndexOfMax(two[^size..]));
        Assert.InRange(TensorPrimitives.Distance(one[^size..], two[^size..]) / Math.Sqrt(size), 1e-3, 1);
    }

    [Fact]
    public void A_graph_without_packed_weights_has_no_accuracy_to_set()
    {
        var failure = Assert.Throws<ModelLoadException>(() => Open("gpt2-with-past", null, PackedProducts.Int8Activations));
        Assert.Contains("AccuracyLevel", failure.Message, StringComparison.Ordinal);
    }

    private static Graph Open(string folder, string? config, int? level = null)
    {
        var manifest = ModelManifest.Read(Path.Combine(TestData.Zoo, folder));
        var settings = config is null ? manifest.Config : ModelConfig.From(JsonDocument.Parse(config).RootElement);
        var file = OnnxGraph.Read(manifest.Files.Main, settings, level);
        return Graph.Open(new GraphSource(file.Summary, settings, _ => file.ReadModel()) { Rewrite = ModelBuilder.RewriteOf(file, settings), AccuracyLevel = level, AtAccuracy = file.AtAccuracy }, ZooGraph.Cpu);
    }
}
