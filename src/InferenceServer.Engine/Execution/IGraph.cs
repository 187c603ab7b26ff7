namespace InferenceServer.Engine.Execution;

/// <summary>Which outputs a variant of a graph computes. What the runtime holds to the end of a run follows from it.</summary>
internal enum OutputSet
{
    /// <summary>The outputs that the file has.</summary>
    Plain,

    /// <summary>Those, and the attention probabilities of every layer.</summary>
    Attention,

    /// <summary>Those, and what leads to them: queries, keys, values, scores, context.</summary>
    AttentionParts,

    /// <summary>The outputs that the file has, of heads that are masked: <see cref="GraphInput.HeadMask"/>.</summary>
    MaskedHeads,
}

/// <summary>A graph of a model. Its variants share one copy of the weights and are opened when they are first wanted. Thread-safe.</summary>
internal interface IGraph
{
    /// <summary>What a batch may be.</summary>
    BatchConstraints Constraints { get; }

    /// <summary>The float outputs that the file has, caches excluded; at least one for a graph of use.</summary>
    IReadOnlyList<string> Outputs { get; }

    /// <summary>True when some variant has the output.</summary>
    bool HasOutput(string name);

    /// <summary>The smallest set that has all of these outputs.</summary>
    OutputSet SetOf(IReadOnlyList<string> outputs);

    /// <summary>
    /// Bytes of native memory that the outputs of a run take: every output of the set, since the runtime holds all of them to the end of the run whether they are
    /// read or not. An estimate where the graph does not say its shapes.
    /// </summary>
    long RunBytes(OutputSet outputs, int rows, int length);

    /// <summary>Bytes that a run takes at its height, by estimate: its outputs, the attention scores of a layer, the activations of a few.</summary>
    long PeakBytes(OutputSet outputs, int rows, int length);

    /// <summary>The variant that computes with so many threads, or null while it is not open (or cannot be).</summary>
    IGraphVariant? Opened(OutputSet outputs, int threads);

    /// <summary>Opens a variant off the caller's thread, once; every caller gets the same outcome, a failure too.</summary>
    /// <exception cref="Diagnostics.ModelLoadException">
    /// The runtime does not run the graph with these outputs; remembered, never tried again. With <see cref="Diagnostics.ModelLoadException.RetryAfter"/>: its files cannot be
    /// read, or there is no memory; the first call after that time tries again, which it says after 1 second, 2, 4, and so on up to 60.
    /// </exception>
    Task OpenAsync(OutputSet outputs, int threads);
}

/// <summary>A graph opened with certain outputs and threads. Thread-safe: several workers run it at once.</summary>
internal interface IGraphVariant
{
    /// <summary>Runs the rows, padded at the right to the longest, and computes the named outputs.</summary>
    /// <exception cref="Diagnostics.InferenceException">The graph refused the input, or failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="terminate"/> fired while the graph ran.</exception>
    IBatchOutputs Run(IReadOnlyList<GraphInput> rows, IReadOnlyCollection<string> outputs, CancellationToken terminate);

    /// <summary>Gives the memory that earlier runs have left back to the system, by a run of one short row.</summary>
    /// <exception cref="Diagnostics.InferenceException">The graph refused that row.</exception>
    void GiveBack();
}

/// <summary>The outputs of one batch; disposing releases the native buffers.</summary>
internal interface IBatchOutputs : IRowSource, IDisposable;
