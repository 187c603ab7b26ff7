using System.Text;
using System.Text.Json;
using Google.Protobuf;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Onnx.Proto;
using Xunit;

namespace InferenceServer.Engine.Tests.Onnx;

/// <summary>Attention taps of every reference folder: the tensors that its reference names, in its order.</summary>
public sealed class ZooGraphTests(ITestOutputHelper output)
{
    private const int LeastFiles = 60;
    private const int LeastCompared = 55;

    [Fact]
    public void Taps_are_the_tensors_that_the_reference_names()
    {
        var wrong = new StringBuilder();
        int files = 0, compared = 0;
        foreach (var folder in Directory.GetDirectories(TestData.Zoo).Order(StringComparer.Ordinal))
        {
            using var expected = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "expected.json")));
            var config = ModelConfig.From(JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json"))).RootElement);
            foreach (var entry in expected.RootElement.GetProperty("attention_in_graph").EnumerateArray())
            {
                var file = entry.GetProperty("file").GetString()!;
                if (!File.Exists(Path.Combine(folder, file)))
                {
                    output.WriteLine($"{Path.GetFileName(folder)}/{file}: the reference names it, the folder leaves it out");
                    continue;
                }

                files++;
                var graph = OnnxGraph.Read(Path.Combine(folder, file), config);
                var summary = graph.Summary;
                var tensors = entry.GetProperty("tensors").EnumerateArray().Select(t => t.GetString()!).ToList();
                var name = $"{Path.GetFileName(folder)}/{file}";
                output.WriteLine($"{name}: {string.Join(", ", summary.Attention.Select(t => $"{t.Kind} {t.Layer} {t.Output}"))} {summary.AttentionUnavailable} | {summary.Producer} opset {summary.Opset} {summary.WeightType}{(summary.QuantizesActivations ? " dynamic" : "")}");
                var decodes = config.IsEncoderDecoder ? file.Contains("decoder", StringComparison.Ordinal) : IsCausal(folder);
                if (summary.Attention.Any(t => (t.Kind != AttentionKind.Encoder) != decodes))
                {
                    wrong.AppendLine($"{name}: kinds {string.Join(", ", summary.Attention.Select(t => t.Kind))}");
                }

                if (tensors.Count == 0)
                {
                    continue;
                }

                compared++;

                // Where the reference reads a tensor of three axes, the tap may be the one of four axes just before it.
                var rank = entry.GetProperty("rank").GetInt32();
                var same = rank == 4
                    ? summary.Attention.Select(t => t.Tensor).SequenceEqual(tensors)
                    : summary.Attention.Select(t => Path.GetDirectoryName(t.Tensor)).SequenceEqual(tensors.Select(Path.GetDirectoryName));
                if (!same)
                {
                    wrong.AppendLine($"{name}: expected {string.Join(", ", tensors)}; got {string.Join(", ", summary.Attention.Select(t => t.Tensor))}");
                }
            }
        }

        Checks.AtLeast(LeastFiles, files, "files");
        Checks.AtLeast(LeastCompared, compared, "lists of tensors");
        Assert.True(wrong.Length == 0, wrong.ToString());
    }

    [Theory]
    [InlineData("bert-classify", "model.onnx", 128)]
    [InlineData("bert-dynamo", "model.onnx", 128)]
    [InlineData("distilbert-classify", "model.onnx", 128)]
    [InlineData("roberta-fill-mask", "model.onnx", 128)]
    [InlineData("mpnet-embed", "model.onnx", 128)]
    [InlineData("gpt2-with-past", "model.onnx", 128)]
    [InlineData("bart", "encoder_model.onnx", 128)]
    [InlineData("marian-en-pt", "encoder_model.onnx", 128)]
    [InlineData("t5-small-like", "encoder_model.onnx", null)]
    [InlineData("llama-gqa-with-past", "model.onnx", null)]
    [InlineData("modernbert-fill-mask", "model.onnx", null)]
    public void Position_tables_say_how_many_tokens_there_can_be(string folder, string file, int? rows)
    {
        Assert.Equal(rows, Read(folder, file).Summary.PositionRows);
    }

    [Theory]
    [InlineData("gpt2-merged-old", 2, 0)]
    [InlineData("marian-en-pt", 2, 2)]
    public void Attention_inside_branches_is_found(string folder, int layers, int cross)
    {
        var summary = Read(folder, "decoder_model_merged.onnx").Summary;

        Assert.Equal(layers, summary.Attention.Count(tap => tap.Kind == AttentionKind.Decoder));
        Assert.Equal(cross, summary.Attention.Count(tap => tap.Kind == AttentionKind.Cross));
        Assert.Null(summary.AttentionUnavailable);
    }

    [Theory]
    [InlineData("com.microsoft", "PackedAttention")]
    [InlineData("com.microsoft", "LongformerAttention")]
    [InlineData("com.microsoft", "DecoderMaskedSelfAttention")]
    public void A_fused_operator_that_keeps_its_probabilities_is_named(string domain, string op)
    {
        var file = Path.GetTempFileName();
        try
        {
            var node = new NodeProto { OpType = op, Domain = domain, Input = { "x", "w", "b" }, Output = { "y" } };
            File.WriteAllBytes(file, new ModelProto { Graph = new GraphProto { Node = { node } } }.ToByteArray());

            var summary = OnnxGraph.Read(file, ModelConfig.From(JsonDocument.Parse("{}").RootElement)).Summary;

            Assert.Contains($"{domain} {op}", summary.AttentionUnavailable, StringComparison.Ordinal);
            Assert.Contains("attn_implementation=eager", summary.AttentionUnavailable, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void A_large_file_is_read_without_its_weights()
    {
        var file = Path.Combine(TestData.Models, "SmolLM2-135M-Instruct", "onnx", "model_q4.onnx");
        var before = GC.GetAllocatedBytesForCurrentThread();
        var watch = System.Diagnostics.Stopwatch.StartNew();

        var summary = OnnxGraph.Read(file, ModelConfig.From(JsonDocument.Parse("{}").RootElement)).Summary;

        var bytes = GC.GetAllocatedBytesForCurrentThread() - before;
        output.WriteLine($"{new FileInfo(file).Length} bytes: {watch.ElapsedMilliseconds} ms, {bytes} bytes allocated; {summary.WeightType}, {summary.Attention.Count} layers, {summary.Attention[0].Kind}, {summary.AttentionUnavailable}");
        Assert.Equal(30, summary.Attention.Count);
        Assert.Equal("int4", summary.WeightType);
        Assert.True(bytes < 32 << 20, $"{bytes} bytes were allocated");
    }

    /// <summary>True when no token of the reference's first text looks at a later one.</summary>
    private static bool IsCausal(string folder)
    {
        var (shape, values) = SafeTensors.Open(Path.Combine(folder, "expected.safetensors"), "expected.safetensors").Read("case0.attentions")!.Value;
        var size = shape[^1];
        return !values.Where((value, i) => i % size > i / size % size && value > 1e-6f).Any();
    }

    private static OnnxGraph Read(string folder, string file) => OnnxGraph.Read(
        Path.Combine(TestData.Zoo, folder, file),
        ModelConfig.From(JsonDocument.Parse(File.ReadAllBytes(Path.Combine(TestData.Zoo, folder, "config.json"))).RootElement));
}
