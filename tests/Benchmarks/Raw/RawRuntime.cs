using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;

namespace InferenceServer.Benchmarks.Raw;

/// <summary>
/// The raw ceiling: ONNX Runtime alone on the same file and the same token sequences; no HTTP, no JSON, no tokenizer, no pooling, outputs unread.
/// The inputs of every run are made beforehand, and each worker's outputs go into one buffer that it uses again and again.
/// </summary>
internal sealed class RawRuntime(string file, int[][] sequences) : IDisposable
{
    private readonly Dictionary<(int Threads, bool Spins), InferenceSession> sessions = [];
    private readonly RunOptions options = new();

    /// <summary>Measures one cell.</summary>
    public RawResult Measure(RawRequest request)
    {
        var session = Session(request.Cell.Threads, request.Cell.Spins);
        using var runs = new PreparedRuns(session, sequences, request);
        var schedule = new Schedule(runs, request);
        session.Run(options, runs.InputNames, runs.Runs[^1].Inputs, runs.OutputNames, runs.Runs[^1].Outputs(0)); // compiled code, a first arena
        var cpu = Environment.CpuUsage.TotalTime;
        schedule.Start();
        var threads = Enumerable.Range(0, request.Cell.Workers).Select(worker => new Thread(() => Work(worker))).ToArray();
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        return schedule.Result((Environment.CpuUsage.TotalTime - cpu).TotalMilliseconds);

        void Work(int worker)
        {
            while (schedule.Next() is { } run)
            {
                var start = Stopwatch.GetTimestamp();
                session.Run(options, runs.InputNames, run.Inputs, runs.OutputNames, run.Outputs(worker));
                schedule.Ended(run, Stopwatch.GetElapsedTime(start));
                if (request.PauseMilliseconds > 0)
                {
                    Thread.Sleep(TimeSpan.FromMilliseconds(request.PauseMilliseconds));
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        options.Dispose();
        foreach (var session in sessions.Values)
        {
            session.Dispose();
        }
    }

    private InferenceSession Session(int threads, bool spins)
    {
        if (!sessions.TryGetValue((threads, spins), out var session))
        {
            using var settings = new SessionOptions { IntraOpNumThreads = threads, InterOpNumThreads = 1, GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL };
            settings.AddSessionConfigEntry("session.intra_op.allow_spinning", spins ? "1" : "0");
            sessions[(threads, spins)] = session = new InferenceSession(file, settings);
        }

        return session;
    }

    /// <summary>Which run comes next, and when it is over.</summary>
    private sealed class Schedule(PreparedRuns runs, RawRequest request)
    {
        private readonly object gate = new();
        private readonly List<double> milliseconds = [];
        private long start;
        private long next;
        private long completed;
        private long texts;
        private long tokens;
        private bool over;

        public void Start() => start = Stopwatch.GetTimestamp();

        public PreparedRun? Next()
        {
            lock (gate)
            {
                over |= Stopwatch.GetElapsedTime(start).TotalSeconds >= request.Seconds && (!request.WholePasses || next % runs.Runs.Count == 0);
                if (over)
                {
                    return null;
                }

                var ticket = next++;
                var run = runs.Runs[(int)(ticket % runs.Runs.Count)];
                var first = ticket - (ticket % runs.Runs.Count) + run.FirstOfGroup;
                while (request.OneGroupAtATime && completed < first)
                {
                    Monitor.Wait(gate);
                }

                return run;
            }
        }

        public void Ended(PreparedRun run, TimeSpan took)
        {
            lock (gate)
            {
                milliseconds.Add(took.TotalMilliseconds);
                completed++;
                texts += run.Texts;
                tokens += run.Tokens;
                Monitor.PulseAll(gate);
            }
        }

        public RawResult Result(double cpuMilliseconds)
        {
            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            return new RawResult(texts / seconds, tokens / seconds, Statistics.Median(milliseconds), cpuMilliseconds / texts);
        }
    }
}
