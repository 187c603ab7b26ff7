using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using Xunit;

namespace InferenceServer.Engine.Tests.Onnx;

/// <summary>Attention taps of every reference folder: the tensors that its reference names, in its order.</summary>
public sealed class ZooGraphTests(ITestOutputHelper output)
{
    [Fact]
    public void Taps_are_the_tensors_that_the_reference_names()
    {
        var wrong = new StringBuilder();
        var files = 0;
        foreach (var folder in Directory.GetDirectories(Shared.Zoo).Order(StringComparer.Ordinal))
        {
            using var expected = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "expected.json")));
            var config = ModelConfig.From(JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json"))).RootElement);
            foreach (var entry in expected.RootElement.GetProperty("attention_in_graph").EnumerateArray())
            {
                var file = entry.GetProperty("file").GetString()!;
                if (!File.Exists(Path.Combine(folder, file)))
                {
                    continue;
                }

                files++;
                var graph = OnnxGraph.Read(Path.Combine(folder, file), config);
                var summary = graph.Summary;
                var tensors = entry.GetProperty("tensors").EnumerateArray().Select(t => t.GetString()!).ToList();
                var name = $"{Path.GetFileName(folder)}/{file}";
                output.WriteLine($"{name}: {string.Join(", ", summary.Attention.Select(t => $"{t.Kind} {t.Layer} {t.Output}"))} {summary.AttentionUnavailable} | {summary.Producer} opset {summary.Opset} {summary.WeightType}{(summary.QuantizesActivations ? " dynamic" : "")}");
                var decodes = config.IsEncoderDecoder ? file.Contains("decoder", StringComparison.Ordinal) : expected.RootElement.GetProperty("task").GetString()!.StartsWith("text-generation", StringComparison.Ordinal);
                if (summary.Attention.Any(t => (t.Kind != AttentionKind.Encoder) != decodes))
                {
                    wrong.AppendLine($"{name}: kinds {string.Join(", ", summary.Attention.Select(t => t.Kind))}");
                }

                if (tensors.Count == 0)
                {
                    continue;
                }

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

        Assert.True(files > 40, $"only {files} files were compared");
        Assert.True(wrong.Length == 0, wrong.ToString());
    }
}
