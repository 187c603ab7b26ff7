using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;

namespace InferenceServer.Benchmarks.Generation;

/// <summary>A plain loop of ONNX Runtime calls over a decoder's file as it is: what comes out as present goes in as past, greedy choice on the host, two threads that spin.</summary>
internal sealed class RawDecoding : IDisposable
{
    private readonly InferenceSession session;
    private readonly string[] pasts;
    private readonly string[] outputs;

    /// <summary>Opens the file.</summary>
    public RawDecoding(string file)
    {
        using var options = new SessionOptions { IntraOpNumThreads = Environment.ProcessorCount, InterOpNumThreads = 1, EnableMemoryPattern = false };
        session = new InferenceSession(file, options);
        pasts = [.. session.InputNames.Where(name => name.StartsWith("past", StringComparison.Ordinal))];
        outputs = ["logits", .. pasts.Select(name => name.Replace("past_key_values", "present", StringComparison.Ordinal))];
    }

    /// <summary>Computes the prompt of every row, the same, and generates greedily. Gives the seconds of the prompt and of the tokens after the first.</summary>
    public (double Prefill, double Decode, int[] Tokens) Run(int[] prompt, int rows, int tokens)
    {
        var cache = pasts.Select(name =>
        {
            var shape = session.InputMetadata[name].Dimensions;
            return OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, session.InputMetadata[name].ElementDataType, [rows, shape[1], 0, shape[3]]);
        }).ToArray();
        var generated = new List<int>();
        var started = Stopwatch.GetTimestamp();
        var next = Step([.. Enumerable.Repeat(prompt, rows).SelectMany(ids => ids)], rows, 0);
        var prefill = Stopwatch.GetElapsedTime(started).TotalSeconds;
        started = Stopwatch.GetTimestamp();
        for (var i = 1; i <= tokens; i++)
        {
            generated.Add(next[0]);
            if (i < tokens)
            {
                next = Step(next, rows, prompt.Length + i - 1);
            }
        }

        var decode = Stopwatch.GetElapsedTime(started).TotalSeconds;
        Array.ForEach(cache, value => value.Dispose());
        return (prefill, decode, [.. generated]);

        int[] Step(int[] ids, int count, int past)
        {
            var length = ids.Length / count;
            using var inputIds = OrtValue.CreateTensorValueFromMemory(Array.ConvertAll(ids, id => (long)id), [count, length]);
            using var mask = OrtValue.CreateTensorValueFromMemory(Enumerable.Repeat(1L, count * (past + length)).ToArray(), [count, past + length]);
            using var positions = OrtValue.CreateTensorValueFromMemory(Enumerable.Range(0, count * length).Select(i => (long)(past + (i % length))).ToArray(), [count, length]);
            using var run = new RunOptions();
            var inputs = session.InputNames.Select(name => name switch { "input_ids" => inputIds, "attention_mask" => mask, "position_ids" => positions, _ => cache[Array.IndexOf(pasts, name)] }).ToArray();
            var given = session.Run(run, session.InputNames, inputs, outputs);
            Array.ForEach(cache, value => value.Dispose());
            cache = [.. given.Skip(1)];
            using var logits = given[0];
            var size = (int)logits.GetTensorTypeAndShape().Shape[2];
            var data = logits.GetTensorDataAsSpan<float>();
            var best = new int[count];
            for (var row = 0; row < count; row++)
            {
                best[row] = System.Numerics.Tensors.TensorPrimitives.IndexOfMax(data.Slice(((row * length) + length - 1) * size, size));
            }

            return best;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => session.Dispose();
}
