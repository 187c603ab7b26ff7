using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;

namespace InferenceServer.Benchmarks;

/// <summary>
/// The ceiling: ONNX Runtime alone on the same file and the same token sequences; no HTTP, no JSON, no tokenizer, no pooling, outputs unread.
/// </summary>
internal sealed class RawRuntime : IDisposable
{
    private readonly InferenceSession session;
    private readonly string[] inputs;
    private readonly string output;
    private readonly RunOptions options = new();
    private readonly int lanes;

    /// <summary>Loads the file for <paramref name="lanes"/> batches at once, each computed by <paramref name="threads"/> threads.</summary>
    public RawRuntime(string file, int lanes, int threads)
    {
        this.lanes = lanes;
        using var settings = new SessionOptions { IntraOpNumThreads = threads, InterOpNumThreads = 1, GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL };
        settings.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
        session = new InferenceSession(file, settings);
        inputs = [.. session.InputNames];
        output = session.OutputNames.FirstOrDefault(n => n is "last_hidden_state" or "token_embeddings") ?? session.OutputNames[0];
        Name = $"{lanes}x{threads}";
    }

    /// <summary>Lanes x threads.</summary>
    public string Name { get; }

    /// <summary>Runs the batches in whole passes, as many as begin within <paramref name="time"/>: sequences and tokens (padding not counted) a second.</summary>
    public (double Sequences, double Tokens) Measure(IReadOnlyList<int[][]> batches, TimeSpan time, bool oneAtATime)
    {
        var (next, end) = (-1, int.MaxValue);
        long sequences = 0, tokens = 0;
        var start = Stopwatch.GetTimestamp();
        void Lane()
        {
            while (true)
            {
                // Batches differ in length: a pass that is cut short would measure the short ones only.
                var ticket = Interlocked.Increment(ref next);
                if (ticket % batches.Count == 0 && Stopwatch.GetElapsedTime(start) >= time)
                {
                    Interlocked.CompareExchange(ref end, ticket, int.MaxValue);
                }

                if (ticket >= Volatile.Read(ref end))
                {
                    return;
                }

                var batch = batches[ticket % batches.Count];
                Run(batch);
                Interlocked.Add(ref sequences, batch.Length);
                Interlocked.Add(ref tokens, batch.Sum(s => s.Length));
            }
        }

        var threads = Enumerable.Range(0, oneAtATime ? 1 : lanes).Select(_ => new Thread(Lane)).ToArray();
        foreach (var thread in threads)
        {
            thread.Start();
        }

        foreach (var thread in threads)
        {
            thread.Join();
        }

        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return (sequences / seconds, tokens / seconds);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        options.Dispose();
        session.Dispose();
    }

    private void Run(int[][] batch)
    {
        var length = batch.Max(s => s.Length);
        long[] shape = [batch.Length, length];
        var values = inputs.Select(name =>
        {
            var data = new long[batch.Length * length];
            for (var row = 0; row < batch.Length; row++)
            {
                for (var i = 0; i < batch[row].Length; i++)
                {
                    data[(row * length) + i] = name switch { "input_ids" => batch[row][i], "attention_mask" => 1, "position_ids" => i, _ => 0 };
                }
            }

            return OrtValue.CreateTensorValueFromMemory(data, shape);
        }).ToArray();
        try
        {
            using var results = session.Run(options, inputs, values, [output]);
        }
        finally
        {
            foreach (var value in values)
            {
                value.Dispose();
            }
        }
    }
}
