using System.ComponentModel.DataAnnotations;

namespace InferenceServer.Engine.Generation;

/// <summary>Bounds of text generation, for each model.</summary>
public sealed record GenerationOptions
{
    private const int LeastCachedTokens = 4_096;

    /// <summary>
    /// Most tokens whose keys and values are kept at a time, of all sequences of a model together, padding and kept prompts included. What does not fit waits; when running
    /// sequences outgrow it the youngest is put back and computed again later. 0 = as many as a quarter of the memory that the process may use holds.
    /// </summary>
    [Range(0, 1L << 40)]
    public long MaxCachedTokens { get; init; }

    /// <summary>Most sequences (beams count each) of one decode step. More share a run and each waits longer for its next token.</summary>
    [Range(1, 4_096)]
    public int MaxSequences { get; init; } = 64;

    /// <summary>Most tokens of a prompt that are computed in one run, beside the decode steps of the others. Larger chunks are a little cheaper; smaller ones hold the others up less.</summary>
    [Range(16, 1 << 20)]
    public int PrefillTokens { get; init; } = 512;

    /// <summary>Seconds after which a generation is given up. The deadline of other requests does not hold for it.</summary>
    [Range(0.01, 86_400)]
    public double TimeoutSeconds { get; init; } = 600;

    /// <summary>Most tokens of a model's caches, for tokens of so many bytes.</summary>
    internal long CachedTokens(long tokenBytes) =>
        MaxCachedTokens > 0 ? MaxCachedTokens : Math.Max(LeastCachedTokens, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 / Math.Max(1, tokenBytes));
}
