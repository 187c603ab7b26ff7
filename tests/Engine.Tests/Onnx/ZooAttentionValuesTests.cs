using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using Microsoft.ML.OnnxRuntime;
using Xunit;
using ReferenceTensors = InferenceServer.Engine.Manifest.SafeTensors;

namespace InferenceServer.Engine.Tests.Onnx;

/// <summary>The exposed tensors hold the probabilities of the eager reference: every reference folder, every file of it, by ONNX Runtime.</summary>
public sealed class ZooAttentionValuesTests(ITestOutputHelper output)
{
    [Fact]
    public void Exposed_tensors_equal_the_eager_reference()
    {
        var wrong = new StringBuilder();
        var compared = 0;
        foreach (var folder in Directory.GetDirectories(TestData.Zoo).Order(StringComparer.Ordinal))
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "expected.json")));
            var expected = document.RootElement;
            var config = ModelConfig.From(JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json"))).RootElement);
            var reference = Engine.Manifest.SafeTensors.Open(Path.Combine(folder, "expected.safetensors"), "expected.safetensors");
            var files = OnnxFiles.All(folder).Where(f => !f.Contains("decoder_with_past", StringComparison.Ordinal) && !f.Contains("merged", StringComparison.Ordinal));
            foreach (var file in files)
            {
                var name = $"{Path.GetFileName(folder)}/{file}";
                var graph = OnnxGraph.Read(Path.Combine(folder, file), config);
                if (graph.Summary.Attention.Count == 0)
                {
                    wrong.AppendLine($"{name}: {graph.Summary.AttentionUnavailable}");
                    continue;
                }

                var worst = Compare(folder, graph, config, expected, reference);
                compared++;
                var reduced = graph.Summary.WeightType is "int8" or "float16";
                output.WriteLine($"{name}: {worst:G3} {graph.Summary.WeightType}");
                if (!(worst <= (reduced ? 0.2 : 1e-4)))
                {
                    wrong.AppendLine($"{name}: differs by {worst:G3}");
                }
            }
        }

        output.WriteLine($"{compared} files compared");
        Assert.True(wrong.Length == 0, wrong.ToString());
        Checks.AtLeast(62, compared, "files");
    }

    internal static InferenceSession Session(OnnxGraph graph)
    {
        using var options = new SessionOptions { IntraOpNumThreads = 1, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        options.AddSessionConfigEntry("session.x64quantprecision", "1"); // as the server sets it
        options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", Path.GetDirectoryName(graph.Summary.File)!);
        return new InferenceSession(graph.ReadModel(), options);
    }

    private static double Compare(string folder, OnnxGraph graph, ModelConfig config, JsonElement expected, Engine.Manifest.SafeTensors reference)
    {
        using var session = Session(graph);
        using var encoder = graph.Summary.Inputs.Any(i => i.Name == "encoder_hidden_states")
            ? new InferenceSession(Path.Combine(folder, "encoder_model.onnx"))
            : null;
        double worst = 0;
        var seen = 0;
        foreach (var (item, at) in expected.GetProperty("cases").EnumerateArray().Select((c, i) => (c, i)).Take(3))
        {
            var id = $"case{at}";
            var ids = Numbers(item, "input_ids");
            var types = item.TryGetProperty("token_type_ids", out _) ? Numbers(item, "token_type_ids") : new long[ids.Length];
            var feeds = new Dictionary<string, OrtValue>();
            OrtValue? states = null;
            var query = ids;
            if (encoder is not null)
            {
                using var first = Run(encoder, Feeds(encoder, ids, types, config, null, ids.Length), ["last_hidden_state"]);
                states = Copy(first[0]);
                query = Numbers(item, "decoder_input_ids");
            }

            using var results = Run(session, Feeds(session, query, types, config, states, ids.Length), [.. graph.Summary.Attention.Select(t => t.Output)]);
            foreach (var (tap, result) in graph.Summary.Attention.Zip(results))
            {
                var key = tap.Kind switch
                {
                    AttentionKind.Cross => "cross_attentions",
                    AttentionKind.Decoder when config.IsEncoderDecoder => "decoder_attentions",
                    _ when config.IsEncoderDecoder => "encoder_attentions",
                    _ => "attentions",
                };
                if (reference.Read($"{id}.{key}") is not ({ } shape, { } values))
                {
                    continue;
                }

                seen++;
                var actual = Floats(result, out var actualShape);
                if (!actualShape.SequenceEqual([1L, shape[1], shape[2], shape[3]]))
                {
                    return double.PositiveInfinity;
                }

                var offset = tap.Layer * actual.Length;
                for (var i = 0; i < actual.Length; i++)
                {
                    var difference = Math.Abs(actual[i] - values[offset + i]);
                    worst = difference > worst || double.IsNaN(difference) ? difference : worst;
                }
            }
        }

        return seen > 0 ? worst : double.NaN;
    }

    private static long[] Numbers(JsonElement item, string name)
    {
        var list = item.GetProperty(name);
        return [.. (list[0].ValueKind == JsonValueKind.Array ? list[0] : list).EnumerateArray().Select(n => n.GetInt64())];
    }

    private static IDisposableReadOnlyCollection<OrtValue> Run(InferenceSession session, Dictionary<string, OrtValue> feeds, IReadOnlyList<string> outputs)
    {
        using var options = new RunOptions();
        return session.Run(options, feeds, outputs);
    }

    private static Dictionary<string, OrtValue> Feeds(InferenceSession session, long[] ids, long[] types, ModelConfig config, OrtValue? states, int sourceLength)
    {
        var feeds = new Dictionary<string, OrtValue>();
        foreach (var (name, meta) in session.InputMetadata)
        {
            long[] plane = [1, ids.Length];
            feeds[name] = name switch
            {
                "input_ids" => OrtValue.CreateTensorValueFromMemory(ids, plane),
                "attention_mask" => OrtValue.CreateTensorValueFromMemory(Enumerable.Repeat(1L, ids.Length).ToArray(), plane),
                "encoder_attention_mask" => OrtValue.CreateTensorValueFromMemory(Enumerable.Repeat(1L, sourceLength).ToArray(), [1, sourceLength]),
                "token_type_ids" => OrtValue.CreateTensorValueFromMemory(types, plane),
                "position_ids" => OrtValue.CreateTensorValueFromMemory(Enumerable.Range(0, ids.Length).Select(i => (long)i).ToArray(), plane),
                "encoder_hidden_states" => states!,
                _ when name.StartsWith("past_key_values", StringComparison.Ordinal) => Empty(meta, config),
                _ => throw new InvalidOperationException($"unknown input {name}"),
            };
        }

        return feeds;
    }

    private static OrtValue Empty(NodeMetadata meta, ModelConfig config)
    {
        long[] shape = [1, meta.Dimensions[1] > 0 ? meta.Dimensions[1] : config.KeyValueHeads!.Value, 0, meta.Dimensions[3] > 0 ? meta.Dimensions[3] : config.HeadSize!.Value];
        return OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, meta.ElementDataType, shape);
    }

    private static OrtValue Copy(OrtValue value) => OrtValue.CreateTensorValueFromMemory(value.GetTensorDataAsSpan<float>().ToArray(), value.GetTensorTypeAndShape().Shape);

    private static float[] Floats(OrtValue value, out long[] shape)
    {
        var info = value.GetTensorTypeAndShape();
        shape = info.Shape;
        if (info.ElementDataType == Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Float)
        {
            return value.GetTensorDataAsSpan<float>().ToArray();
        }

        var halves = value.GetTensorDataAsSpan<Float16>();
        var floats = new float[halves.Length];
        for (var i = 0; i < floats.Length; i++)
        {
            floats[i] = (float)halves[i];
        }

        return floats;
    }
}
