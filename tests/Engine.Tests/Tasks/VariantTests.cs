using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tests.Scheduling;
using Microsoft.ML.OnnxRuntime;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>Quantised and half-precision files beside the default, chosen by setting.</summary>
public sealed class VariantTests
{
    [Theory]
    [InlineData("bert-int8", "model_quantized.onnx")]
    [InlineData("bert-fp16", "model_fp16.onnx")]
    [InlineData("bert-fp16", "model_fp16_io.onnx")]
    [InlineData("llama-int8", "model_quantized.onnx")]
    [InlineData("llama-fp16", "model_fp16.onnx")]
    public async Task Another_file_is_within_its_tolerance_and_equals_onnx_runtime_on_it(string folder, string file)
    {
        await using var loader = await ZooModels.LoadVariant(folder, file);
        var model = loader.Get(folder).Status.Model!;
        Assert.EndsWith(file, model.Graph.File, StringComparison.Ordinal);
        var expected = Expected.Of(folder);
        var tolerance = expected.Root.GetProperty("tolerance").GetProperty(file).GetDouble();
        using var options = new SessionOptions { IntraOpNumThreads = 1, InterOpNumThreads = 1 };
        options.AddSessionConfigEntry("session.x64quantprecision", "1"); // as the server sets it
        using var direct = new InferenceSession(model.Graph.File, options);

        var compared = 0;
        for (var i = 0; i < expected.Cases.Count; i++)
        {
            var c = expected.Cases[i];
            int[] ids = [.. c.GetProperty("input_ids").EnumerateArray().Select(id => id.GetInt32())];
            var head = Head.Of(model)!;
            var logits = await model.Executor.RunOneAsync(new GraphInput(ids), head.Output, (row, _) => row.Data.ToArray());

            var raw = Run(direct, model, ids, head.Output);
            Assert.Equal(raw.Length, logits.Length);
            Assert.True(Furthest(raw, logits) <= 1e-5, $"case{i} differs from ONNX Runtime by {Furthest(raw, logits):e1}");

            if (expected.Tensor($"case{i}.logits") is { } reference)
            {
                compared++;
                Assert.True(Furthest(reference, logits) <= tolerance, $"case{i} differs from the reference by {Furthest(reference, logits):e1}, allowed {tolerance}");
            }
            else if (expected.Tensor($"case{i}.logits_last") is { } last)
            {
                compared++;
                Assert.True(Furthest(last, logits[^last.Length..]) <= tolerance, $"case{i} differs from the reference by {Furthest(last, logits[^last.Length..]):e1}, allowed {tolerance}");
            }
        }

        Checks.AtLeast(3, compared, "cases");
    }

    private static double Furthest(float[] a, float[] b) => a.Zip(b, (x, y) => (double)Math.Abs(x - y)).Max();

    /// <summary>The file run with nothing of the server between: one sequence, empty caches.</summary>
    private static float[] Run(InferenceSession session, Model model, int[] ids, string output)
    {
        var inputs = new Dictionary<string, OrtValue>();
        try
        {
            foreach (var (name, meta) in session.InputMetadata)
            {
                inputs[name] = name switch
                {
                    "input_ids" => Longs(ids.Select(id => (long)id)),
                    "attention_mask" => Longs(ids.Select(_ => 1L)),
                    "token_type_ids" => Longs(ids.Select(_ => 0L)),
                    "position_ids" => Longs(ids.Select((_, i) => (long)i)),
                    _ => Empty(meta, model),
                };
            }

            using var options = new RunOptions();
            using var results = session.Run(options, inputs, [output]);
            return results[0].GetTensorTypeAndShape().ElementDataType == Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Float16
                ? [.. results[0].GetTensorDataAsSpan<Float16>().ToArray().Select(h => (float)h)]
                : results[0].GetTensorDataAsSpan<float>().ToArray();
        }
        finally
        {
            foreach (var value in inputs.Values)
            {
                value.Dispose();
            }
        }
    }

    private static OrtValue Longs(IEnumerable<long> values)
    {
        var array = values.ToArray();
        return OrtValue.CreateTensorValueFromMemory(array, [1, array.Length]);
    }

    /// <summary>An empty cache: one sequence, no positions.</summary>
    private static OrtValue Empty(NodeMetadata meta, Model model)
    {
        long[] shape = [1, meta.Dimensions[1], 0, meta.Dimensions[3]];
        return meta.ElementDataType == Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Float16
            ? OrtValue.CreateTensorValueFromMemory(Array.Empty<Float16>(), shape)
            : OrtValue.CreateTensorValueFromMemory(Array.Empty<float>(), shape);
    }
}
