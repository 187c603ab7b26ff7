using System.ComponentModel.DataAnnotations;

namespace InferenceServer.Engine.Execution;

/// <summary>Where models run.</summary>
public enum ExecutionProvider
{
    /// <summary>CUDA when it is usable, else the CPU, with a warning when a GPU was hoped for.</summary>
    Auto,

    /// <summary>The CPU.</summary>
    Cpu,

    /// <summary>CUDA; start-up ends when it is not usable.</summary>
    Cuda,
}

/// <summary>How the CUDA memory arena grows.</summary>
public enum ArenaStrategy
{
    /// <summary>In powers of two: few allocations, up to twice the memory.</summary>
    NextPowerOfTwo,

    /// <summary>By what is asked for: less memory, more allocations.</summary>
    SameAsRequested,
}

/// <summary>How graphs are executed. Converted once from the configuration; the same for every model.</summary>
public sealed record ExecutionOptions
{
    /// <summary>Where models run. Change it to <c>cuda</c> so that a missing GPU stops the server instead of making it slow.</summary>
    public ExecutionProvider Provider { get; init; } = ExecutionProvider.Auto;

    /// <summary>Index of the GPU, from 0. Change it on a machine with several.</summary>
    [Range(0, 255)]
    public int DeviceId { get; init; }

    /// <summary>Most GPU memory of one model's arena, in bytes; 0 = no limit. Set it when other programs share the GPU.</summary>
    [Range(0, 1L << 50)]
    public long MemoryLimit { get; init; }

    /// <summary>How the GPU arena grows. Change it when memory is short: <see cref="Execution.ArenaStrategy.SameAsRequested"/> wastes less.</summary>
    public ArenaStrategy ArenaStrategy { get; init; } = ArenaStrategy.NextPowerOfTwo;

    /// <summary>TF32 arithmetic for float32 products on the GPU: faster, about three decimal digits. Off, so that results equal the CPU's within 1e-4.</summary>
    public bool Tf32 { get; init; }

    /// <summary>Path of a <c>libonnxruntime_providers_cuda.so</c> of the same ONNX Runtime version, to add CUDA at run time to the CPU build; null = none.</summary>
    public string? ProviderLibrary { get; init; }

    /// <summary>Workers of the device: batches that run at once, of all models together; 0 = one for each core (one on a GPU). Fewer leave cores to other programs.</summary>
    [Range(0, 1024)]
    public int Workers { get; init; }

    /// <summary>
    /// Most threads that one batch computes with; 0 = as many as there are workers. A batch takes the threads of the workers that are free: a lone request all of
    /// them, a full queue one a batch. 1 keeps every batch on one thread.
    /// </summary>
    [Range(0, 1024)]
    public int IntraOpThreads { get; init; }

    /// <summary>Folder for what may be kept between starts (optimized graphs with packed weights, measured costs of runs); null = a temporary folder, and costs are measured anew.</summary>
    public string? CacheDirectory { get; init; }

    /// <summary>
    /// Seconds that a folder may take to load, first runs included; one that takes longer fails, so that a graph without an end keeps nobody waiting. Raise it for very
    /// large models on slow disks.
    /// </summary>
    [Range(1, 86_400)]
    public double LoadTimeoutSeconds { get; init; } = 600;

    /// <summary>Seconds that one run may take; a longer one is ended and its sequences fail. Beside it every request has its own deadline. Raise it for very long texts on few cores.</summary>
    [Range(1, 86_400)]
    public double RunTimeoutSeconds { get; init; } = 300;

    /// <summary>The workers and the most threads of a batch that the settings mean on this machine: cores as <see cref="Environment.ProcessorCount"/> counts them (it honours container limits).</summary>
    internal (int Workers, int Threads) Resolve(bool gpu)
    {
        var workers = Workers > 0 ? Workers : gpu ? 1 : Math.Max(1, Environment.ProcessorCount);
        return (workers, gpu ? 1 : Math.Min(workers, IntraOpThreads > 0 ? IntraOpThreads : workers));
    }
}
