using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Generation.Sampling;

/// <summary>What changes logits before a token is chosen, greedily too.</summary>
/// <remarks>
/// In this order, the reference's (transformers 4.57, <c>_get_logits_processor</c>): bias; repetition, presence and frequency penalty; no repeated n-grams; banned
/// sequences; least length; forced first and last token; suppressed tokens. Temperature and the cuts come after them (<see cref="TokenSelector"/>).
/// </remarks>
internal static class LogitsProcessors
{
    /// <summary>True when these options change no logits.</summary>
    public static bool AreNone(SamplingOptions options) =>
        options is { RepetitionPenalty: 1, PresencePenalty: 0, FrequencyPenalty: 0, NoRepeatNgramSize: 0, MinNewTokens: 0, ForcedBosTokenId: null, ForcedEosTokenId: null }
        && options.LogitBias.Count == 0 && options.BadWordsIds.Count == 0 && options.SuppressTokens.Count == 0 && options.BeginSuppressTokens.Count == 0;

    /// <summary>Changes the logits <c>[vocabulary]</c>, or log-probabilities of beams, of what follows <paramref name="prompt"/> and <paramref name="generated"/>.</summary>
    public static void Apply(SamplingOptions options, Span<float> logits, ReadOnlySpan<int> prompt, ReadOnlySpan<int> generated)
    {
        foreach (var (id, bias) in options.LogitBias)
        {
            if ((uint)id < (uint)logits.Length)
            {
                logits[id] += bias;
            }
        }

        Penalise(options, logits, prompt, generated);
        if (options.NoRepeatNgramSize > 0 || options.BadWordsIds.Count > 0)
        {
            int[] all = [.. prompt, .. generated];
            BanNgrams(options.NoRepeatNgramSize, logits, all);
            BanWords(options, logits, all);
        }

        if (generated.Length < options.MinNewTokens)
        {
            Ban(logits, options.EosTokenIds);
        }

        if (generated.Length == 0 && options.ForcedBosTokenId is { } begin)
        {
            Force(logits, begin);
        }

        if (generated.Length == options.MaxNewTokens - 1 && options.ForcedEosTokenId is { } end)
        {
            Force(logits, end);
        }

        Ban(logits, options.SuppressTokens);
        if (generated.Length == (options.ForcedBosTokenId is null ? 0 : 1))
        {
            Ban(logits, options.BeginSuppressTokens);
        }
    }

    private static void Penalise(SamplingOptions options, Span<float> logits, ReadOnlySpan<int> prompt, ReadOnlySpan<int> generated)
    {
        if (options.RepetitionPenalty != 1)
        {
            var seen = new HashSet<int>();
            for (var i = 0; i < prompt.Length + generated.Length; i++)
            {
                var id = i < prompt.Length ? prompt[i] : generated[i - prompt.Length];
                if ((uint)id < (uint)logits.Length && seen.Add(id))
                {
                    logits[id] = logits[id] < 0 ? logits[id] * options.RepetitionPenalty : logits[id] / options.RepetitionPenalty;
                }
            }
        }

        if (options.PresencePenalty != 0 || options.FrequencyPenalty != 0)
        {
            var counts = new Dictionary<int, int>();
            foreach (var id in generated)
            {
                counts[id] = counts.GetValueOrDefault(id) + 1;
            }

            foreach (var (id, count) in counts)
            {
                if ((uint)id < (uint)logits.Length)
                {
                    logits[id] -= (count * options.FrequencyPenalty) + options.PresencePenalty;
                }
            }
        }
    }

    // What followed the last tokens before must not follow them again.
    private static void BanNgrams(int size, Span<float> logits, int[] all)
    {
        if (size <= 0 || all.Length < size)
        {
            return;
        }

        var tail = all.AsSpan(all.Length - size + 1);
        for (var i = 0; i + size <= all.Length; i++)
        {
            if (all.AsSpan(i, size - 1).SequenceEqual(tail))
            {
                Ban(logits, all[i + size - 1]);
            }
        }
    }

    private static void BanWords(SamplingOptions options, Span<float> logits, int[] all)
    {
        foreach (var word in options.BadWordsIds)
        {
            // A word that is an end token alone is left to the rules about the end.
            if (word.Count == 0 || (word.Count == 1 && options.EosTokenIds.Contains(word[0])) || (word.Count > 1 && word.Count > all.Length))
            {
                continue;
            }

            var last = word.Count - 1;
            var from = all.Length - last;
            var at = 0;
            while (at < last && word[at] == all[from + at])
            {
                at++;
            }

            if (at == last)
            {
                Ban(logits, word[^1]);
            }
        }
    }

    private static void Ban(Span<float> logits, IReadOnlyList<int> ids)
    {
        for (var i = 0; i < ids.Count; i++)
        {
            Ban(logits, ids[i]);
        }
    }

    private static void Ban(Span<float> logits, int id)
    {
        if ((uint)id < (uint)logits.Length)
        {
            logits[id] = float.NegativeInfinity;
        }
    }

    private static void Force(Span<float> logits, int id)
    {
        if ((uint)id >= (uint)logits.Length)
        {
            throw new InferenceException(ErrorCode.Unprocessable, $"The forced token {id} is not in the vocabulary of {logits.Length} tokens. Change it.");
        }

        logits.Fill(float.NegativeInfinity);
        logits[id] = 0;
    }
}
