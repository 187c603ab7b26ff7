using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Tasks;

/// <summary>Arithmetic on rows of logits.</summary>
internal static class Logits
{
    private const int Chunk = 1024;

    /// <summary><c>log(sum(exp(x)))</c>, stable; sums in float64.</summary>
    public static double LogSumExp(ReadOnlySpan<float> logits)
    {
        var max = TensorPrimitives.Max(logits);
        Span<float> part = stackalloc float[Chunk];
        var sum = 0.0;
        for (var rest = logits; !rest.IsEmpty; rest = rest[Math.Min(Chunk, rest.Length)..])
        {
            var exp = part[..Math.Min(Chunk, rest.Length)];
            TensorPrimitives.Subtract(rest[..exp.Length], max, exp);
            TensorPrimitives.Exp(exp, exp);
            sum += TensorPrimitives.Sum<float>(exp);
        }

        return max + Math.Log(sum);
    }

    /// <summary>Log-probability of each id from the second on, given those before it, from logits <c>[sequence, vocabulary]</c>.</summary>
    /// <exception cref="InferenceException">There are not logits of every position, or they are no numbers.</exception>
    public static double[] OfNext(OutputRow logits, ReadOnlySpan<int> ids, Argument input)
    {
        if (logits.Shape.Length == 1 || logits.Shape[0] < ids.Length)
        {
            throw new InferenceException(ErrorCode.Unprocessable, $"The logits of every position are needed, and this model's graph gives the last one alone. Predict the next token instead, or use another export of the model.");
        }

        var logprobs = new double[ids.Length - 1];
        for (var i = 0; i < logprobs.Length; i++)
        {
            var row = logits.At(i);
            logprobs[i] = row[ids[i + 1]] - Finite.Require(LogSumExp(row), input);
        }

        return logprobs;
    }

    /// <summary>Probabilities that add up to 1.</summary>
    public static double[] Softmax(ReadOnlySpan<float> logits)
    {
        var norm = LogSumExp(logits);
        var scores = new double[logits.Length];
        for (var i = 0; i < scores.Length; i++)
        {
            scores[i] = Math.Exp(logits[i] - norm);
        }

        return scores;
    }

    /// <summary><c>1 / (1 + exp(-x))</c>.</summary>
    public static double Sigmoid(float logit) => 1 / (1 + Math.Exp(-logit));

    /// <summary>
    /// Indices of the <paramref name="count"/> highest values, best first, of equal ones the lower index first. One pass with a
    /// heap of <paramref name="count"/>.
    /// </summary>
    public static int[] Top(ReadOnlySpan<float> values, int count)
    {
        count = Math.Min(count, values.Length);
        var heap = new PriorityQueue<int, (float Value, int Index)>(count + 1, Worst);
        for (var i = 0; i < values.Length; i++)
        {
            if (heap.Count < count)
            {
                heap.Enqueue(i, (values[i], i));
            }
            else if (values[i] > values[heap.Peek()])
            {
                heap.EnqueueDequeue(i, (values[i], i));
            }
        }

        var best = new int[heap.Count];
        for (var i = best.Length - 1; i >= 0; i--)
        {
            best[i] = heap.Dequeue();
        }

        return best;
    }

    /// <summary>The logits of further ids, those that are among the best already left out, and those that the head does not know.</summary>
    public static List<(int Id, float Logit)> Besides(ReadOnlySpan<float> values, IReadOnlyCollection<int> ids, (int Id, double Score)[] best)
    {
        var besides = new List<(int, float)>();
        var known = ids.Count == 0 ? [] : best.Select(candidate => candidate.Id).ToHashSet();
        foreach (var id in ids)
        {
            if (id < values.Length && !known.Contains(id))
            {
                besides.Add((id, values[id]));
            }
        }

        return besides;
    }

    // The worst first: the lowest value, of equal ones the highest index.
    private static readonly Comparer<(float Value, int Index)> Worst = Comparer<(float Value, int Index)>.Create(
        (a, b) => a.Value.CompareTo(b.Value) is var order and not 0 ? order : b.Index.CompareTo(a.Index));
}
