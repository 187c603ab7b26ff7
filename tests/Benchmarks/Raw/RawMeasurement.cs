namespace InferenceServer.Benchmarks.Raw;

/// <summary>One way to run ONNX Runtime.</summary>
/// <param name="Workers">Threads that call Run at the same time on one session.</param>
/// <param name="Threads">Threads that compute each run.</param>
/// <param name="Spins">Whether the session's own threads spin while they wait for work.</param>
/// <param name="Rows">Texts a run.</param>
internal sealed record RawCell(int Workers, int Threads, bool Spins, int Rows)
{
    /// <summary>Workers x threads x rows.</summary>
    public string Name => $"{Workers} x {ThreadsName} x {Rows}";

    /// <summary>Threads and whether they spin.</summary>
    public string ThreadsName => Threads == 1 ? "1" : $"{Threads}{(Spins ? " spinning" : "")}";

    /// <summary>The whole grid for groups of so many texts: workers and threads 1, 2, 4, ... up to the cores, rows 1 to 64.</summary>
    public static IReadOnlyList<RawCell> Grid(int groupSize)
    {
        int[] counts = [.. Enumerable.Range(0, 12).Select(i => 1 << i).TakeWhile(n => n < Environment.ProcessorCount), Environment.ProcessorCount];
        return
        [
            .. from workers in counts
               from threads in counts
               where workers * threads <= 2 * Environment.ProcessorCount
               from spins in threads == 1 ? (bool[])[false] : [false, true]
               from rows in (int[])[1, 2, 4, 8, 16, 32, 64]
               where rows <= groupSize
               select new RawCell(workers, threads, spins, rows),
        ];
    }

    /// <summary>One text at a time: on one thread, on all cores spinning, on all cores without.</summary>
    public static IReadOnlyList<RawCell> OneAtATime { get; } = Environment.ProcessorCount == 1
        ? [new(1, 1, false, 1)]
        : [new(1, 1, false, 1), new(1, Environment.ProcessorCount, true, 1), new(1, Environment.ProcessorCount, false, 1)];
}

/// <summary>What the raw process measures next; it travels as one JSON line.</summary>
/// <param name="Cell">How to run.</param>
/// <param name="Group">Texts that are sorted by length together before they are cut into runs: what could wait in the server at once.</param>
/// <param name="OneGroupAtATime">Whether a group begins only when the last has ended, as with a client that waits for its answer.</param>
/// <param name="PauseMilliseconds">Pause after each run.</param>
/// <param name="Seconds">At least so long.</param>
/// <param name="WholePasses">Whether to end only after whole passes over the texts, so that each length has its share; else runs in random order until the time is over.</param>
internal sealed record RawRequest(RawCell Cell, int Group, bool OneGroupAtATime, double PauseMilliseconds, double Seconds, bool WholePasses);

/// <summary>What the raw process measured.</summary>
/// <param name="TextsPerSecond">Texts a second.</param>
/// <param name="TokensPerSecond">Tokens a second, padding not counted.</param>
/// <param name="MedianMilliseconds">Median time of a run.</param>
/// <param name="ProcessorMillisecondsPerText">Processor time of the whole process a text.</param>
internal sealed record RawResult(double TextsPerSecond, double TokensPerSecond, double MedianMilliseconds, double ProcessorMillisecondsPerText);
