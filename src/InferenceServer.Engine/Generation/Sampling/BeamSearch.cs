using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Generation.Sampling;

/// <summary>When a beam search ends.</summary>
public enum EarlyStopping
{
    /// <summary>When the best running beam, at its present length, cannot be better than the worst finished one.</summary>
    False,

    /// <summary>As soon as there are as many finished texts as beams.</summary>
    True,

    /// <summary>When the best running beam, at the greatest length, cannot be better than the worst finished one.</summary>
    Never,
}

/// <summary>How beams are searched.</summary>
/// <param name="Processors">What changes the log-probabilities; how long a text may be; which tokens end it.</param>
/// <param name="NumBeams">Number of beams.</param>
/// <param name="LengthPenalty">Exponent of the length that a score is divided by: above 0 favours long texts.</param>
/// <param name="EarlyStopping">When it ends.</param>
/// <param name="Count">Hypotheses that are given, the best first.</param>
public sealed record BeamOptions(SamplingOptions Processors, int NumBeams, double LengthPenalty = 1, EarlyStopping EarlyStopping = EarlyStopping.False, int Count = 1);

/// <summary>A finished text of a beam search.</summary>
/// <param name="TokenIds">What was generated, the end token included.</param>
/// <param name="Score">Sum of log-probabilities / length ^ length penalty.</param>
public sealed record BeamHypothesis(IReadOnlyList<int> TokenIds, double Score);

/// <summary>Beam search over one prompt, step by step, as transformers 4.57 has it (<c>_beam_search</c>). Not thread-safe.</summary>
/// <param name="options">How.</param>
/// <param name="prompt">What the beams go on from; penalties and n-grams look at it.</param>
public sealed class BeamSearch(BeamOptions options, int[] prompt)
{
    private const double Worst = -1e9;
    private const double Impossible = Worst / 1e4; // of a beam that was never one, whatever its length divides it by

    private readonly SamplingOptions processors = options.Processors;
    private readonly bool hasProcessors = !LogitsProcessors.AreNone(options.Processors);
    private List<(int[] Ids, double Score)> running = [.. Enumerable.Range(0, options.NumBeams).Select(beam => (Array.Empty<int>(), beam == 0 ? 0 : Worst))];
    private List<(int[] Ids, double Score, bool IsFinished)> finished = [.. Enumerable.Repeat((Array.Empty<int>(), Worst, false), options.NumBeams)];
    private float[] scores = [];
    private int length;
    private bool canImprove = true;

    /// <summary>True when no step is of use any more.</summary>
    public bool IsDone { get; private set; }

    /// <summary>Takes the logits <c>[beams, vocabulary]</c> after the last token of each beam; gives the beam that each goes on from, and its token.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.NotFinite"/>: they are no numbers.</exception>
    public IReadOnlyList<(int Parent, int Token)> Step(ReadOnlySpan<float> logits)
    {
        var (beams, size) = (options.NumBeams, logits.Length / options.NumBeams);
        var keep = Math.Max(2, 1 + processors.EosTokenIds.Count) * beams;
        var best = new PriorityQueue<(int Parent, int Token), (double Score, long Order)>(keep + 1); // the worst of the best first
        for (var beam = 0; beam < beams; beam++)
        {
            var row = LogProbabilities(logits.Slice(beam * size, size), running[beam].Ids);
            for (var token = 0; token < size; token++)
            {
                var order = -(((long)beam * size) + token); // of equals the first
                var score = row[token] + running[beam].Score;
                if (best.Count < keep)
                {
                    best.Enqueue((beam, token), (score, order));
                }
                else if (best.TryPeek(out _, out var least) && score > least.Score)
                {
                    best.DequeueEnqueue((beam, token), (score, order));
                }
            }
        }

        var candidates = new List<(int Parent, int Token, double Score, bool Ends)>(keep);
        while (best.TryDequeue(out var candidate, out var priority))
        {
            candidates.Add((candidate.Parent, candidate.Token, priority.Score, length + 1 >= processors.MaxNewTokens || processors.EosTokenIds.Contains(candidate.Token)));
        }

        candidates.Reverse();
        Finish(candidates);
        var next = candidates
            .Select((candidate, i) => (Candidate: candidate, Score: candidate.Score + (candidate.Ends ? Worst : 0), i))
            .OrderByDescending(c => c.Score).ThenBy(c => c.i).Take(beams).ToList();
        running = [.. next.Select(c => ((int[])[.. running[c.Candidate.Parent].Ids, c.Candidate.Token], c.Score))];
        length++;
        Settle(candidates.TrueForAll(candidate => candidate.Ends));
        return [.. next.Select(c => (c.Candidate.Parent, c.Candidate.Token))];
    }

    /// <summary>The best finished texts: fewer than were asked for where bans or forced tokens leave fewer.</summary>
    public IReadOnlyList<BeamHypothesis> Finish() =>
        [.. finished.Where(beam => beam.IsFinished && beam.Score > Impossible).Take(options.Count).Select(beam => new BeamHypothesis(beam.Ids, beam.Score))];

    private Span<float> LogProbabilities(ReadOnlySpan<float> logits, int[] generated)
    {
        if (scores.Length < logits.Length)
        {
            scores = new float[logits.Length];
        }

        var norm = TokenSelector.LogSumExp(logits);
        if (!double.IsFinite(norm))
        {
            throw new InferenceException(ErrorCode.NotFinite, $"After {prompt.Length + generated.Length} tokens the model gave logits that are no numbers (NaN or infinity): the precision of its weights is probably too low for this input. Change the prompt, or have the model served from a file of higher precision.");
        }

        var row = scores.AsSpan(0, logits.Length);
        TensorPrimitives.Subtract(logits, (float)norm, row);
        if (hasProcessors)
        {
            LogitsProcessors.Apply(processors, row, prompt, generated);
        }

        return row;
    }

    // Of what ends among the best, as many as there are beams, the finished texts are renewed.
    private void Finish(List<(int Parent, int Token, double Score, bool Ends)> candidates)
    {
        var isFull = options.EarlyStopping == EarlyStopping.True && finished.TrueForAll(beam => beam.IsFinished);
        var merged = new List<(int[] Ids, double Score, bool IsFinished)>(finished);
        for (var i = 0; i < candidates.Count; i++)
        {
            var (parent, token, score, ends) = candidates[i];
            var just = ends && i < options.NumBeams;
            var penalised = (score / Math.Pow(length + 1, options.LengthPenalty)) + (isFull ? Worst : 0) + (canImprove ? 0 : Worst) + (just ? 0 : Worst);
            merged.Add((just ? [.. running[parent].Ids, token] : [], penalised, just));
        }

        finished = [.. merged.Select((beam, i) => (beam, i)).OrderByDescending(b => b.beam.Score).ThenBy(b => b.i).Take(options.NumBeams).Select(b => b.beam)];
    }

    private void Settle(bool allEnd)
    {
        var longest = options.EarlyStopping == EarlyStopping.Never && options.LengthPenalty > 0 ? processors.MaxNewTokens : length;
        var possible = running[0].Score / Math.Pow(longest, options.LengthPenalty);
        var worst = finished.Min(beam => beam.Score);
        canImprove &= finished.Exists(beam => possible > (beam.IsFinished ? worst : Worst));
        IsDone = !(canImprove && !(options.EarlyStopping == EarlyStopping.True && finished.TrueForAll(beam => beam.IsFinished)) && !allEnd);
    }
}
