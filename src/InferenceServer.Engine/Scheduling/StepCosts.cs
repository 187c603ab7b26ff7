using System.Numerics;

namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// What the steps of a graph cost on one thread and on several, measured as they run: a step of a few tokens is bound by the weights that it reads, which no run of whole
/// sequences tells of. Thread-safe.
/// </summary>
internal sealed class StepCosts
{
    private const int Enough = 4; // measurements before a figure counts
    private const int Again = 128; // steps after which the slower way is tried once more
    private const int Tries = 4; // in a row: the first finds its threads asleep
    private const double WeightOfLess = 0.5; // of a new measurement; what disturbs a run makes it slower, never faster
    private const double WeightOfMore = 0.05;
    private const double LeastGain = 0.95; // several threads have to be faster by that much

    private readonly Lock gate = new();
    private readonly Dictionary<(int Threads, int Size), Figure> figures = [];

    /// <summary>On how many threads a step runs where so many are free.</summary>
    /// <param name="tokens">New tokens of all rows.</param>
    /// <param name="threads">Threads that are free and that a variant is open for.</param>
    public int Threads(int tokens, int threads)
    {
        if (threads <= 1)
        {
            return 1;
        }

        lock (gate)
        {
            var (one, several) = (Of(1, tokens), Of(threads, tokens));
            if (several.Count < Enough || one.Count < Enough)
            {
                return several.Count < Enough ? threads : 1;
            }

            var (better, worse) = several.Milliseconds < LeastGain * one.Milliseconds ? (several, one) : (one, several);
            return ++better.Chosen % Again < Tries == (worse == several) ? threads : 1;
        }
    }

    /// <summary>Milliseconds of a step, as far as they are known.</summary>
    public double? Milliseconds(int tokens, int threads)
    {
        lock (gate)
        {
            return Of(threads, tokens) is { Count: > 0 } figure ? figure.Milliseconds : null;
        }
    }

    /// <summary>A step has run.</summary>
    public void Measured(int tokens, int threads, double milliseconds)
    {
        lock (gate)
        {
            var figure = Of(threads, tokens);
            figure.Milliseconds = figure.Count == 0 ? milliseconds
                : figure.Count < Enough ? Math.Min(figure.Milliseconds, milliseconds)
                : figure.Milliseconds + ((milliseconds < figure.Milliseconds ? WeightOfLess : WeightOfMore) * (milliseconds - figure.Milliseconds));
            figure.Count++;
        }
    }

    private Figure Of(int threads, int tokens)
    {
        var key = (threads, BitOperations.Log2((uint)Math.Max(1, tokens)));
        return figures.TryGetValue(key, out var figure) ? figure : figures[key] = new Figure();
    }

    private sealed class Figure
    {
        public double Milliseconds;
        public int Count;
        public int Chosen;
    }
}
