using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Generation.Sampling;

/// <summary>Chooses the next token of one sequence. Not thread-safe.</summary>
/// <remarks>
/// After <see cref="LogitsProcessors"/>: temperature, top_k, top_p, min_p, typical_p, each on what the one before has left, renormalised at the end; the reference's order
/// (transformers 4.57). A draw is a function of the seed and the number of tokens generated alone, so neither batch mates nor a computation that is begun again change it.
/// </remarks>
/// <param name="options">How.</param>
/// <param name="seed">What drawn tokens depend on.</param>
public sealed class TokenSelector(SamplingOptions options, ulong seed)
{
    private const ulong Golden = 0x9E3779B97F4A7C15UL;
    private const double Least = -9999; // for the logarithm of nothing, of a token that was forced against the graph

    private readonly bool isPlain = !options.DoSample && options.LogProbs is null && LogitsProcessors.AreNone(options);
    private float[] scores = [];
    private float[] probabilities = [];

    /// <summary>Chooses by the logits <c>[vocabulary]</c> after the last token; -infinity rules a token out.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.NotFinite"/>: they are no numbers. <see cref="ErrorCode.Unprocessable"/>: the options rule every token out.</exception>
    public SelectedToken Select(ReadOnlySpan<float> logits, ReadOnlySpan<int> prompt, ReadOnlySpan<int> generated)
    {
        var best = TensorPrimitives.IndexOfMax(logits); // of a NaN, where there is one
        if (!float.IsFinite(logits[best]))
        {
            throw new InferenceException(ErrorCode.NotFinite, $"After {prompt.Length + generated.Length} tokens the model gave logits that are no numbers (NaN or infinity): the precision of its weights is probably too low for this input. Change the prompt, or have the model served from a file of higher precision.");
        }

        if (isPlain)
        {
            return new SelectedToken(best);
        }

        if (scores.Length < logits.Length)
        {
            (scores, probabilities) = (new float[logits.Length], new float[logits.Length]);
        }

        var own = scores.AsSpan(0, logits.Length);
        logits.CopyTo(own);
        LogitsProcessors.Apply(options, own, prompt, generated);
        best = TensorPrimitives.IndexOfMax(own);
        if (!float.IsFinite(own[best]))
        {
            throw new InferenceException(ErrorCode.Unprocessable, $"The bans and biases of the request leave no token that could follow. Ban fewer tokens.");
        }

        var chosen = options.DoSample ? Draw(own, own[best], generated.Length) : best;
        return options.LogProbs is { } count ? WithLogProbs(logits, chosen, count) : new SelectedToken(chosen);
    }

    /// <summary>The token with its log-probability, and the best <paramref name="count"/> alternatives.</summary>
    internal static SelectedToken WithLogProbs(ReadOnlySpan<float> logits, int chosen, int count)
    {
        var norm = LogSumExp(logits);
        var top = new List<TokenLogProb>(count);
        if (count > 0)
        {
            var queue = new PriorityQueue<int, (float, int)>(count + 1); // the least of the best first
            for (var id = 0; id < logits.Length; id++)
            {
                if (queue.Count < count)
                {
                    queue.Enqueue(id, (logits[id], -id));
                }
                else if (queue.TryPeek(out _, out var least) && logits[id] > least.Item1)
                {
                    queue.DequeueEnqueue(id, (logits[id], -id));
                }
            }

            while (queue.TryDequeue(out var id, out _))
            {
                top.Insert(0, new TokenLogProb(id, logits[id] - norm));
            }

            top.RemoveAll(token => !double.IsFinite(token.LogProb)); // ruled out by the graph: no number for them
        }

        return new SelectedToken(chosen, Math.Max(Least, logits[chosen] - norm), top);
    }

    /// <summary>The logarithm of the sum of the exponentials, in double precision.</summary>
    internal static double LogSumExp(ReadOnlySpan<float> logits)
    {
        var max = TensorPrimitives.Max(logits);
        var sum = 0.0;
        foreach (var logit in logits)
        {
            sum += Math.Exp(logit - max);
        }

        return max + Math.Log(sum);
    }

    private int Draw(Span<float> logits, float max, int position)
    {
        // exp((l - max) / t): at a temperature near 0 all but the best become 0.
        var weights = probabilities.AsSpan(0, logits.Length);
        TensorPrimitives.Subtract(logits, max, weights);
        TensorPrimitives.Divide(weights, options.Temperature, weights);
        TensorPrimitives.Exp(weights, weights);
        var (kept, whole) = Candidates(weights);
        CutTopP(kept, whole);
        CutMinP(kept);
        kept = CutTypical(kept);

        return Race(kept, position);
    }

    // The token whose exponential variable of rate weight comes first has been drawn by its weight (the Gumbel-max trick, Maddison et al., NIPS 2014). Each has a variable of
    // its own, so weights that another batch rounds otherwise seldom change who wins; in a sum over all of them every border would move.
    private int Race(List<(int Id, float Weight)> kept, int position)
    {
        var own = Mix(Mix(seed) + ((ulong)position * Golden));
        var (winner, first) = (kept[0].Id, double.PositiveInfinity);
        foreach (var (id, weight) in kept)
        {
            var uniform = ((Mix(own + ((ulong)id * Golden)) >> 11) + 1) * (1.0 / (1UL << 53)); // (0, 1]
            if (1 - uniform > first * weight)
            {
                continue; // -ln u is 1 - u at least: it is no earlier
            }

            var time = -Math.Log(uniform) / weight;
            if (time < first)
            {
                (winner, first) = (id, time);
            }
        }

        return winner;
    }

    // The tokens that may be drawn, all with a weight or the best of them, and the weight of all that the next cut counts.
    private (List<(int Id, float Weight)> Kept, double Whole) Candidates(ReadOnlySpan<float> weights)
    {
        var kept = new List<(int Id, float Weight)>();
        if (options.TopK > 0 && options.TopK < weights.Length)
        {
            var queue = new PriorityQueue<int, float>(options.TopK + 1);
            for (var id = 0; id < weights.Length; id++)
            {
                if (queue.Count < options.TopK)
                {
                    queue.Enqueue(id, weights[id]);
                }
                else if (queue.TryPeek(out _, out var smallest) && weights[id] > smallest)
                {
                    queue.DequeueEnqueue(id, weights[id]);
                }
            }

            // Those that are as good as the last of them stay too.
            queue.TryPeek(out _, out var last);
            for (var id = 0; id < weights.Length; id++)
            {
                if (weights[id] > 0 && weights[id] >= last)
                {
                    kept.Add((id, weights[id]));
                }
            }

            return (kept, kept.Sum(candidate => (double)candidate.Weight));
        }

        // Tokens so small that a vocabulary of them would not have together what the nucleus leaves out are not in it: they need not be sorted.
        var whole = TensorPrimitives.Sum(weights);
        var least = Math.Max(0, (1 - options.TopP) * whole / weights.Length);
        for (var id = 0; id < weights.Length; id++)
        {
            if (weights[id] > 0 && weights[id] >= least)
            {
                kept.Add((id, weights[id]));
            }
        }

        return (kept, whole);
    }

    private void CutTopP(List<(int Id, float Weight)> kept, double whole)
    {
        if (options.TopP >= 1)
        {
            return;
        }

        kept.Sort(static (a, b) => a.Weight != b.Weight ? b.Weight.CompareTo(a.Weight) : a.Id.CompareTo(b.Id));
        var (before, count) = (0.0, 0);
        while (count < kept.Count && (count == 0 || before < options.TopP * whole))
        {
            before += kept[count++].Weight;
        }

        kept.RemoveRange(count, kept.Count - count);
    }

    private void CutMinP(List<(int Id, float Weight)> kept)
    {
        if (options.MinP > 0)
        {
            var least = options.MinP * kept.Max(candidate => candidate.Weight);
            kept.RemoveAll(candidate => candidate.Weight < least);
        }
    }

    private List<(int Id, float Weight)> CutTypical(List<(int Id, float Weight)> kept)
    {
        if (options.TypicalP >= 1 || kept.Count < 2)
        {
            return kept;
        }

        var total = kept.Sum(candidate => (double)candidate.Weight);
        var entropy = -kept.Sum(candidate => candidate.Weight / total * Math.Log(candidate.Weight / total));
        var distances = kept.ConvertAll(candidate => (Distance: Math.Abs(-Math.Log(candidate.Weight / total) - entropy), candidate));
        var sorted = distances.OrderBy(d => d.Distance).ToList();
        var (sum, last) = (0.0, 0);
        foreach (var (_, candidate) in sorted)
        {
            sum += candidate.Weight / total;
            if (sum >= options.TypicalP)
            {
                break;
            }

            last++;
        }

        var most = sorted[Math.Min(last, sorted.Count - 1)].Distance;
        return [.. distances.Where(d => d.Distance <= most).Select(d => d.candidate)];
    }

    // SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
    private static ulong Mix(ulong z)
    {
        z += Golden;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
