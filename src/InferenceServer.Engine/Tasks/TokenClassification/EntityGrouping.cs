using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.TokenClassification;

/// <summary>A token, a word or a group of them with its label; offsets in UTF-16 units.</summary>
internal sealed record TokenEntity(string Label, double Score, int Start, int End, int Index);

/// <summary>Makes entities of the label probabilities of tokens (transformers 4.57, TokenClassificationPipeline.aggregate).</summary>
internal sealed class EntityGrouping(Model model, string text, Aggregation aggregation)
{
    private readonly LabelScheme scheme = LabelScheme.Of(model.Manifest.Config.Labels);
    private readonly TextOffsets offsets = new(text);
    private readonly bool wordAware = !string.IsNullOrEmpty(model.Tokenizer.ContinuingSubwordPrefix);
    private readonly int unknown = model.Tokenizer.Named.Unk?.Id ?? -1;

    private sealed record ScoredToken(int Index, int Start, int End, bool IsSubword, double[] Scores);

    /// <summary>The entities of one window, in the order of its tokens; label O included.</summary>
    /// <param name="window">Its tokens.</param>
    /// <param name="scores">Probabilities of the labels, <c>[S][labels]</c>.</param>
    public IEnumerable<TokenEntity> Entities(TokenEncoding window, double[][] scores)
    {
        var tokens = new List<ScoredToken>(window.Length);
        for (var i = 0; i < window.Length; i++)
        {
            if (window.SpecialTokensMask[i] == 0)
            {
                var (start, end) = window.Offsets[i];
                tokens.Add(new ScoredToken(i, start, end, IsSubword(window.Ids[i], start, end), scores[i]));
            }
        }

        return aggregation switch
        {
            Aggregation.None => tokens.Select(token => Labelled([token], token.Scores)),
            Aggregation.Simple => Groups(tokens.Select(token => Labelled([token], token.Scores))),
            _ => Groups(Words(tokens).Select(word => Labelled(word, WordScores(word)))),
        };
    }

    /// <summary>
    /// Where the vocabulary marks continuing tokens, a token that is longer than its text carries the mark; elsewhere, one that
    /// touches no space. Both are the reference's rules, its oddities included.
    /// </summary>
    private bool IsSubword(int id, int start, int end)
    {
        if (id == unknown)
        {
            return false;
        }

        return wordAware
            ? CodePoints(model.Tokenizer.IdToToken(id) ?? "") != offsets.ToCodePoints(end) - offsets.ToCodePoints(start)
            : start > 0 && text[start - 1] != ' ' && (start == text.Length || text[start] != ' ');
    }

    private static IEnumerable<List<ScoredToken>> Words(List<ScoredToken> tokens)
    {
        List<ScoredToken>? word = null;
        foreach (var token in tokens)
        {
            if (word is not null && token.IsSubword)
            {
                word.Add(token);
                continue;
            }

            if (word is not null)
            {
                yield return word;
            }

            word = [token];
        }

        if (word is not null)
        {
            yield return word;
        }
    }

    private double[] WordScores(List<ScoredToken> word) => aggregation switch
    {
        Aggregation.First => word[0].Scores,
        Aggregation.Max => word.MaxBy(token => token.Scores.Max())!.Scores,
        _ => [.. Enumerable.Range(0, word[0].Scores.Length).Select(label => word.Average(token => token.Scores[label]))],
    };

    private TokenEntity Labelled(List<ScoredToken> tokens, double[] scores)
    {
        var best = Array.IndexOf(scores, scores.Max());
        return new TokenEntity(Head.Label(model, best), scores[best], tokens[0].Start, tokens[^1].End, tokens[0].Index);
    }

    /// <summary>
    /// Joins neighbours of the same kind until one begins with B-; a label without B- or I- continues. Where the labels are BIOES or BILOU tags (the pipeline knows
    /// neither), an entity ends where its tag says so.
    /// </summary>
    private IEnumerable<TokenEntity> Groups(IEnumerable<TokenEntity> entities)
    {
        var group = new List<TokenEntity>();
        foreach (var entity in entities)
        {
            if (group.Count > 0 && (scheme.Begins(entity.Label) || scheme.IsLast(group[^1].Label) || scheme.Kind(entity.Label) != scheme.Kind(group[^1].Label)))
            {
                yield return Group(group);
                group.Clear();
            }

            group.Add(entity);
        }

        if (group.Count > 0)
        {
            yield return Group(group);
        }
    }

    private static TokenEntity Group(List<TokenEntity> group)
    {
        // The name of a group is what follows the first hyphen, whether or not B or I stands before it.
        var label = group[0].Label;
        return new TokenEntity(label[(label.IndexOf('-', StringComparison.Ordinal) + 1)..], group.Average(e => e.Score), group[0].Start, group[^1].End, group[0].Index);
    }

    private static int CodePoints(string token)
    {
        var count = token.Length;
        for (var i = 1; i < token.Length; i++)
        {
            if (char.IsSurrogatePair(token[i - 1], token[i]))
            {
                count--;
            }
        }

        return count;
    }
}
