using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>The tokens of a sequence as an answer shows them, and how they group into units (tokens or words).</summary>
internal sealed class AttentionSequence
{
    private AttentionSequence(AttentionToken[] tokens, AttentionToken[] units, int[][] pieces, bool hasPair)
    {
        Tokens = tokens;
        Units = units;
        Pieces = pieces;
        HasPair = hasPair;
    }

    /// <summary>Every token.</summary>
    public AttentionToken[] Tokens { get; }

    /// <summary>Every unit: the tokens, or words with the special tokens between them.</summary>
    public AttentionToken[] Units { get; }

    /// <summary>The tokens of each unit, by position.</summary>
    public int[][] Pieces { get; }

    /// <summary>Whether there is a segment 1.</summary>
    public bool HasPair { get; }

    /// <summary>Describes the tokens of an encoding; generated ones by what they decode to.</summary>
    public static AttentionSequence Of(Tokenizer tokenizer, PreparedInput input, AttentionUnit unit)
    {
        var encoding = input.Encoding;
        var (text, pair) = (input.Source.Text, input.Source.Pair);
        var (textOffsets, pairOffsets) = (new TextOffsets(text ?? ""), new TextOffsets(pair ?? ""));
        var segments = SegmentsOf(encoding, pair is not null);
        var tokens = new AttentionToken[encoding.Length];
        for (var i = 0; i < tokens.Length; i++)
        {
            var id = encoding.Ids[i];
            var second = encoding.SequenceIds[i] == 1;
            var span = encoding.SequenceIds[i] < 0 || text is null || i >= input.Given ? (Start: 0, End: 0) : encoding.Offsets[i];
            var (start, end) = (second ? pairOffsets : textOffsets).ToCodePoints(span);
            var covered = text is null || i >= input.Given ? tokenizer.Decode([id], skipSpecialTokens: false) : (second ? pair! : text)[span.Start..span.End];
            tokens[i] = new AttentionToken(id, encoding.Tokens[i], covered, start, end, tokenizer.SpecialIds.Contains(id), segments[i]);
        }

        if (unit == AttentionUnit.Token)
        {
            return new AttentionSequence(tokens, tokens, [.. tokens.Select((_, i) => new[] { i })], pair is not null);
        }

        var units = new List<AttentionToken>();
        var pieces = new List<int[]>();
        for (int first = 0, next; first < tokens.Length; first = next)
        {
            next = first + 1;
            while (next < tokens.Length && encoding.WordIds[first] >= 0 && encoding.WordIds[next] == encoding.WordIds[first] && encoding.SequenceIds[next] == encoding.SequenceIds[first]
                && !tokens[first].Special && !tokens[next].Special)
            {
                next++;
            }

            var word = tokens[first];
            if (next - first > 1)
            {
                var second = encoding.SequenceIds[first] == 1;
                var (from, to) = (encoding.Offsets[first].Start, encoding.Offsets[next - 1].End);
                word = word with
                {
                    Token = string.Concat(tokens[first..next].Select(token => token.Token)),
                    Text = (second ? pair! : text!)[from..Math.Max(from, to)],
                    End = Math.Max(word.Start, tokens[next - 1].End),
                };
            }

            units.Add(word);
            pieces.Add([.. Enumerable.Range(first, next - first)]);
        }

        return new AttentionSequence(tokens, [.. units], [.. pieces], pair is not null);
    }

    /// <summary>Segments: the sequence that a token comes from; special tokens belong to the text that they close (by their type id where the tokenizer sets type ids).</summary>
    private static int[] SegmentsOf(TokenEncoding encoding, bool pair)
    {
        var segments = new int[encoding.Length];
        if (!pair)
        {
            return segments;
        }

        var typed = encoding.TypeIds.AsSpan().Contains(1);
        for (var i = 0; i < segments.Length; i++)
        {
            segments[i] = encoding.SequenceIds[i] >= 0 ? encoding.SequenceIds[i] : typed ? Math.Min(encoding.TypeIds[i], 1) : i > 0 ? segments[i - 1] : 0;
        }

        return segments;
    }
}
