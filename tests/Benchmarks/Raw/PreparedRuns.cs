using Microsoft.ML.OnnxRuntime;

namespace InferenceServer.Benchmarks.Raw;

/// <summary>One run: its inputs [rows, longest], and for each worker the output over that worker's buffer.</summary>
/// <param name="Inputs">In the order of the input names.</param>
/// <param name="PerWorker">Outputs for each worker.</param>
/// <param name="FirstOfGroup">Index of the first run of its group.</param>
/// <param name="Texts">Rows.</param>
/// <param name="Tokens">Tokens, padding not counted.</param>
internal sealed record PreparedRun(OrtValue[] Inputs, OrtValue[][] PerWorker, int FirstOfGroup, int Texts, int Tokens)
{
    /// <summary>The outputs of a worker.</summary>
    public OrtValue[] Outputs(int worker) => PerWorker[worker];
}

/// <summary>All runs of a pass over the sequences: sorted by length within each group and cut into rows.</summary>
internal sealed class PreparedRuns : IDisposable
{
    /// <summary>Prepares them for a session.</summary>
    public PreparedRuns(InferenceSession session, int[][] sequences, RawRequest request)
    {
        InputNames = [.. session.InputNames];
        var output = session.OutputNames.FirstOrDefault(n => n is "last_hidden_state" or "token_embeddings") ?? session.OutputNames[0];
        OutputNames = [output];
        if (session.OutputMetadata[output].Dimensions is not [_, _, > 0 and var hidden] || session.OutputMetadata[output].ElementType != typeof(float))
        {
            throw new NotSupportedException($"Output {output} is not float [batch, sequence, hidden] with a known hidden size.");
        }

        var groups = sequences.Chunk(request.Group).Select(g => g.OrderBy(s => s.Length).Chunk(request.Cell.Rows).Reverse().ToArray()).ToArray();
        var largest = groups.SelectMany(g => g).Max(rows => rows.Length * rows[^1].Length);
        var buffers = Enumerable.Range(0, request.Cell.Workers).Select(_ => new float[largest * hidden]).ToArray();
        var runs = new List<PreparedRun>();
        foreach (var group in groups)
        {
            // The longest first: a group then ends with its cheapest run, and its workers together.
            var first = runs.Count;
            runs.AddRange(group.Select(rows => Prepare(rows, first, hidden, buffers)));
        }

        var order = runs.ToArray();
        if (!request.WholePasses && !request.OneGroupAtATime)
        {
            new Random(5).Shuffle(order);
        }

        Runs = order;
    }

    /// <summary>Input names of the graph.</summary>
    public string[] InputNames { get; }

    /// <summary>The one output that is computed.</summary>
    public string[] OutputNames { get; }

    /// <summary>The runs in their order.</summary>
    public IReadOnlyList<PreparedRun> Runs { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var value in Runs.SelectMany(r => r.Inputs.Concat(r.PerWorker.SelectMany(o => o))))
        {
            value.Dispose();
        }
    }

    private PreparedRun Prepare(int[][] rows, int firstOfGroup, int hidden, float[][] buffers)
    {
        var length = rows[^1].Length;
        var inputs = InputNames.Select(name =>
        {
            var data = new long[rows.Length * length];
            for (var row = 0; row < rows.Length; row++)
            {
                for (var i = 0; i < rows[row].Length; i++)
                {
                    data[(row * length) + i] = name switch { "input_ids" => rows[row][i], "attention_mask" => 1, "position_ids" => i, _ => 0 };
                }
            }

            return OrtValue.CreateTensorValueFromMemory(data, [rows.Length, length]);
        }).ToArray();
        var outputs = buffers.Select(buffer => (OrtValue[])
        [
            OrtValue.CreateTensorValueFromMemory(OrtMemoryInfo.DefaultInstance, buffer.AsMemory(0, rows.Length * length * hidden), [rows.Length, length, hidden]),
        ]).ToArray();
        return new PreparedRun(inputs, outputs, firstOfGroup, rows.Length, rows.Sum(r => r.Length));
    }
}
