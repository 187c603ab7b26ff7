namespace InferenceServer.Engine.Execution;

/// <summary>A row of a batch: token ids and segments (null = all 0).</summary>
internal readonly record struct SequenceRow(int[] InputIds, int[]? TypeIds);

/// <summary>What the graph allows a batch to be.</summary>
/// <param name="MaxSequences">Most rows; 1 = every sequence runs alone.</param>
/// <param name="EqualLengthsOnly">True when the graph cannot be told what is padding.</param>
/// <param name="FixedLength">Length that every row is padded to, or null.</param>
internal sealed record BatchRules(int MaxSequences = int.MaxValue, bool EqualLengthsOnly = false, int? FixedLength = null)
{
    /// <summary>The length that a row of <paramref name="length"/> tokens takes.</summary>
    public int Padded(int length) => Math.Max(length, FixedLength ?? 0);
}

/// <summary>Runs batches through one graph. Thread-safe: several lanes call it at once.</summary>
internal interface IGraphRunner : IDisposable
{
    /// <summary>What a batch may be.</summary>
    BatchRules Rules { get; }

    /// <summary>True when the graph has the output.</summary>
    bool HasOutput(string name);

    /// <summary>Bytes that an output takes for <paramref name="rows"/> rows padded to <paramref name="length"/> (an estimate where the graph does not say its shape).</summary>
    long OutputBytes(string name, int rows, int length);

    /// <summary>Runs the rows, padded at the right to the longest, and computes the named outputs.</summary>
    /// <exception cref="Diagnostics.InferenceException">The graph refused the input, or failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="terminate"/> fired while the graph ran.</exception>
    IBatchOutputs Run(IReadOnlyList<SequenceRow> rows, IReadOnlyCollection<string> outputs, CancellationToken terminate);
}

/// <summary>The outputs of one batch; disposing releases the native buffers.</summary>
internal interface IBatchOutputs : IRowSource, IDisposable;
