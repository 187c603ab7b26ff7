using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.QuestionAnswering;

/// <summary>The likeliest spans of one window.</summary>
internal sealed class SpanSearch
{
    // The worst first: the lowest score, of equal ones the later span.
    private static readonly Comparer<(double Score, int Start, int End)> Worst = Comparer<(double Score, int Start, int End)>.Create(
        (a, b) => a.Score.CompareTo(b.Score) is var score and not 0 ? score
            : b.Start.CompareTo(a.Start) is var start and not 0 ? start : b.End.CompareTo(a.End));

    private readonly double[] starts;
    private readonly double[] ends;
    private readonly int[] positions;

    /// <param name="window">The window's tokens.</param>
    /// <param name="side">The sequence that the context is.</param>
    /// <param name="clsId">Id of [CLS], which stands for no answer and takes part in the probabilities.</param>
    /// <param name="startLogits">Logits of the starts, <c>[S]</c>.</param>
    /// <param name="endLogits">Logits of the ends, <c>[S]</c>.</param>
    public SpanSearch(TokenEncoding window, sbyte side, int? clsId, float[] startLogits, float[] endLogits)
    {
        int[] allowed = [.. Enumerable.Range(0, window.Length).Where(i => window.SequenceIds[i] == side || window.Ids[i] == clsId)];
        starts = Probabilities(startLogits, allowed);
        ends = Probabilities(endLogits, allowed);
        EmptyScore = starts[0] * ends[0];
        positions = [.. allowed.Where(i => i > 0)];
    }

    /// <summary>Probability that the context does not say: start and end at the first token.</summary>
    public double EmptyScore { get; }

    /// <summary>The best <paramref name="count"/> spans of at most <paramref name="longest"/> tokens, best first.</summary>
    public IEnumerable<(int Start, int End, double Score)> Best(int count, int longest)
    {
        var heap = new PriorityQueue<(int Start, int End), (double Score, int Start, int End)>(Worst);
        for (var i = 0; i < positions.Length; i++)
        {
            var start = positions[i];
            for (var j = i; j < positions.Length && positions[j] - start < longest; j++)
            {
                var end = positions[j];
                var score = starts[start] * ends[end];
                if (heap.Count < count)
                {
                    heap.Enqueue((start, end), (score, start, end));
                }
                else if (heap.TryPeek(out _, out var worst) && score > worst.Score)
                {
                    heap.EnqueueDequeue((start, end), (score, start, end));
                }
            }
        }

        var best = new (int, int, double)[heap.Count];
        for (var i = best.Length - 1; i >= 0; i--)
        {
            heap.TryDequeue(out var span, out var priority);
            best[i] = (span.Start, span.End, priority.Score);
        }

        return best;
    }

    /// <summary>Softmax over the allowed positions; 0 elsewhere.</summary>
    private static double[] Probabilities(float[] logits, int[] allowed)
    {
        var scores = allowed.Length == 0 ? [] : Logits.Softmax(Array.ConvertAll(allowed, i => logits[i]));
        var all = new double[logits.Length];
        for (var i = 0; i < allowed.Length; i++)
        {
            all[allowed[i]] = scores[i];
        }

        return all;
    }
}
