using InferenceServer.Benchmarks.Client;
using InferenceServer.Benchmarks.Raw;

namespace InferenceServer.Benchmarks.Server;

/// <summary>One scenario: first a scan of the whole grid of raw ONNX Runtime, then rounds in which the server and the best raw cells take turns; one text at a time in several short ones.</summary>
internal sealed class ScenarioMeasurement(Scenario scenario) : IDisposable
{
    private const int CellsKept = 3;
    private const double WarmUpSeconds = 6; // the first requests are slower, while code is compiled beside them
    private const double TurnWarmUpSeconds = 1;
    private const int TurnsOfOneText = 4; // a round: the processor of a virtual machine is a third faster or slower for seconds at a time, and all should see both
    private const double ScanSeconds = 0.3;
    private const double RawSeconds = 1.5;
    private readonly BodiesFile bodies = new(scenario.Sentences, scenario.TextsPerRequest);
    private readonly List<LoadResult> server = [];
    private readonly List<double> allocated = [];
    private readonly Dictionary<RawCell, List<RawResult>> raw = [];

    /// <summary>The scenario.</summary>
    public Scenario Scenario => scenario;

    /// <summary>Mean tokens of a text, special tokens included.</summary>
    public double TokensPerText { get; private set; }

    /// <summary>Resident memory of the server after the last round, MiB.</summary>
    public double ResidentMiB { get; private set; }

    /// <summary>Bytes allocated in the server a request, warm-up included.</summary>
    public double AllocatedBytesPerRequest => Statistics.Median(allocated);

    /// <summary>The best cell: most texts a second; one text at a time: least p50, with pauses among those that take little more processor time than one thread.</summary>
    public RawCell BestCell => scenario.OneTextAtATime
        ? raw.Keys.Where(IsThrifty).MinBy(c => Raw(c, r => r.MedianMilliseconds))!
        : raw.Keys.MaxBy(c => Raw(c, r => r.TextsPerSecond))!;

    /// <summary>The median of a figure of the server over the rounds.</summary>
    public double Server(Func<LoadResult, double> figure) => Statistics.Median(server.Select(figure));

    /// <summary>The median of a figure of a raw cell over the rounds.</summary>
    public double Raw(RawCell cell, Func<RawResult, double> figure) => Statistics.Median(raw[cell].Select(figure));

    /// <summary>All rounds.</summary>
    public async Task RunAsync(MeasuredServer process, ModelsFolder folder, int rounds)
    {
        var sequences = await process.TokenizeAsync(folder.Model, scenario.Sentences);
        TokensPerText = sequences.Average(s => s.Length);
        using var runtime = new RawProcess(folder.GraphFile, sequences);
        var cells = scenario.OneTextAtATime ? RawCell.OneAtATime : await ScanAsync(runtime);
        var options = process.Load(folder.Model, bodies) with { Connections = scenario.Connections, PauseMilliseconds = scenario.PauseMilliseconds, WarmUpSeconds = WarmUpSeconds, Seconds = scenario.Seconds };
        var turns = scenario.OneTextAtATime ? TurnsOfOneText : 1;
        for (var turn = 0; turn < rounds * turns; turn++)
        {
            var before = process.AllocatedBytes();
            var result = await ClientProcess.RunAsync(turn == 0 ? options : options with { WarmUpSeconds = turns == 1 ? WarmUpSeconds : TurnWarmUpSeconds, Seconds = scenario.Seconds / turns * 2 });
            if (result.Statuses.Keys.Any(s => s != 200))
            {
                throw new InvalidOperationException($"{scenario.Name}: not every answer was 200 ({result.StatusLine}).");
            }

            server.Add(result);
            allocated.Add((process.AllocatedBytes() - before) / (double)result.AllAnswers);
            foreach (var cell in cells)
            {
                var measured = await runtime.MeasureAsync(new RawRequest(cell, scenario.Group, OneGroupAtATime, scenario.PauseMilliseconds, scenario.PauseMilliseconds > 0 ? scenario.Seconds / turns * 2 : RawSeconds, WholePasses: scenario.PauseMilliseconds == 0));
                (raw.TryGetValue(cell, out var list) ? list : raw[cell] = []).Add(measured);
            }
        }

        ResidentMiB = process.ResidentMiB;
    }

    /// <inheritdoc/>
    public void Dispose() => bodies.Dispose();

    private bool IsThrifty(RawCell cell) => scenario.PauseMilliseconds == 0
        || Raw(cell, r => r.ProcessorMillisecondsPerText) <= Scenario.ProcessorGoal * Raw(RawCell.OneAtATime[0], r => r.ProcessorMillisecondsPerText);

    // One client that waits for its answer leaves nothing to run until it asks again.
    private bool OneGroupAtATime => scenario.Connections == 1;

    // By tokens a second: a scan that is cut short has not seen every length.
    private async Task<IReadOnlyList<RawCell>> ScanAsync(RawProcess runtime)
    {
        var scanned = new List<(RawCell Cell, double TokensPerSecond)>();
        foreach (var cell in RawCell.Grid(scenario.Group))
        {
            scanned.Add((cell, (await runtime.MeasureAsync(new RawRequest(cell, scenario.Group, OneGroupAtATime, 0, ScanSeconds, WholePasses: false))).TokensPerSecond));
        }

        RawCell[] best = [.. scanned.OrderByDescending(s => s.TokensPerSecond).Take(CellsKept).Select(s => s.Cell)];
        Console.WriteLine($"{scenario.Name}: best of {scanned.Count} raw cells: {string.Join(", ", best.Select(c => c.Name))}");
        return best;
    }
}
