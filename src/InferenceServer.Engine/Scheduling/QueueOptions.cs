using System.ComponentModel.DataAnnotations;

namespace InferenceServer.Engine.Scheduling;

/// <summary>How a model's queue packs and what it takes in.</summary>
public sealed record QueueOptions
{
    /// <summary>
    /// Most padded tokens of a batch (rows x longest row); a longer single sequence runs alone. 0 = 320 on a CPU, where longer batches leave the caches of a core
    /// without using it better, and 16384 on a GPU.
    /// </summary>
    [Range(0, 1 << 24)]
    public int MaxBatchTokens { get; init; }

    /// <summary>Most sequences of a batch. Bounds the work lost when one batch fails.</summary>
    [Range(1, 1 << 16)]
    public int MaxBatchSequences { get; init; } = 256;

    /// <summary>Most bytes of one batch's outputs (logits over a vocabulary, attention). Bounds the memory of a worker.</summary>
    [Range(1L << 16, 1L << 40)]
    public long MaxBatchOutputBytes { get; init; } = 256L << 20;

    /// <summary>Most bytes of one sequence's outputs; a longer one is refused with 413 before it runs. Attention of all layers, or logits over a large vocabulary, of a long text would take all memory.</summary>
    [Range(1L << 16, 1L << 40)]
    public long MaxSequenceOutputBytes { get; init; } = 2L << 30;

    /// <summary>
    /// Most bytes that the large runs of all workers may take at a time, by an estimate of what a run holds at its height (outputs, attention scores, activations): those that
    /// do not fit wait for one another. A run counts from an eighth of it on; one that is larger than all of it runs when no other large one does. 0 = a quarter of the memory that the process may use, on a GPU half of <c>Execution:MemoryLimit</c>.
    /// </summary>
    [Range(0, 1L << 42)]
    public long MaxRunBytes { get; init; }

    /// <summary>Most requests that may be served or wait at one model. Full answers 429 with the time after which it is worth trying again.</summary>
    [Range(1, 1 << 24)]
    public int MaxWaitingRequests { get; init; } = 2048;

    /// <summary>Most sequences that may wait at one model; one request may bring many.</summary>
    [Range(1, 1 << 28)]
    public int MaxWaitingSequences { get; init; } = 16384;

    /// <summary>Most tokens that may wait at one model. Bounds memory and the longest wait.</summary>
    [Range(1, 1L << 40)]
    public long MaxWaitingTokens { get; init; } = 2_000_000;

    /// <summary>Most padded tokens of a batch on a device: what is set, or its kind's default.</summary>
    internal int BatchTokens(bool isGpu) => MaxBatchTokens > 0 ? MaxBatchTokens : isGpu ? 16_384 : 320;

    /// <summary>Most bytes of the large runs on a device: what is set, or its default.</summary>
    internal long RunBytes(bool isGpu, long gpuMemory) =>
        MaxRunBytes > 0 ? MaxRunBytes
        : !isGpu ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4
        : gpuMemory > 0 ? gpuMemory / 2 : long.MaxValue;
}
