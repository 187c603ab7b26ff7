using System.Text.Json;

namespace InferenceServer.Benchmarks.Raw;

/// <summary>Raw ONNX Runtime in a process of its own, so that its processor time is its own; idle between measurements.</summary>
internal sealed class RawProcess : IDisposable
{
    private readonly ChildProcess process;
    private readonly string sequencesFile = Path.GetTempFileName();

    /// <summary>Starts it on a graph's file and the token sequences of a scenario.</summary>
    public RawProcess(string graphFile, int[][] sequences)
    {
        File.WriteAllText(sequencesFile, JsonSerializer.Serialize(sequences));
        process = new ChildProcess(ChildProcess.OfThisProgram("raw", JsonSerializer.Serialize(new Arguments(graphFile, sequencesFile))));
    }

    /// <summary>Measures one cell.</summary>
    public async Task<RawResult> MeasureAsync(RawRequest request)
    {
        await process.WriteLineAsync(JsonSerializer.Serialize(request));
        return JsonSerializer.Deserialize<RawResult>(await process.ReadLineAsync())!;
    }

    /// <summary>The verb <c>raw</c>: a <see cref="RawRequest"/> a line in, a <see cref="RawResult"/> a line out, until the input ends.</summary>
    public static int Run(string json)
    {
        var arguments = JsonSerializer.Deserialize<Arguments>(json)!;
        using var runtime = new RawRuntime(arguments.GraphFile, JsonSerializer.Deserialize<int[][]>(File.ReadAllText(arguments.SequencesFile))!);
        while (Console.ReadLine() is { } line)
        {
            Console.WriteLine(JsonSerializer.Serialize(runtime.Measure(JsonSerializer.Deserialize<RawRequest>(line)!)));
        }

        return 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        process.Dispose();
        File.Delete(sequencesFile);
    }

    private sealed record Arguments(string GraphFile, string SequencesFile);
}
