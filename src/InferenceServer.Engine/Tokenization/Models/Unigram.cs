using System.Globalization;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>
/// <c>Unigram</c>: the segmentation with the highest sum of scores (Viterbi over a trie of the vocabulary). Unknown characters next
/// to each other become one unknown token, or bytes with <c>byte_fallback</c>. Linear in the length of the piece.
/// </summary>
internal sealed class Unigram : TokenizerModel
{
    // What an unknown character costs beside the lowest score of the vocabulary (SentencePiece's kUnkPenalty).
    private const double UnknownPenalty = 10.0;

    private readonly CharTrie trie;
    private readonly double[] scores;
    private readonly double unknownScore;
    private readonly int unknownId;
    private readonly int[]? fallback;
    private readonly WordCache cache = new();

    /// <summary>Builds the model; a piece's id is its place in the list.</summary>
    public Unigram(IReadOnlyList<(string Piece, double Score)> pieces, int? unknownId, bool byteFallback)
        : base(new Vocabulary([.. pieces.Select(static p => p.Piece)]))
    {
        this.unknownId = unknownId ?? -1;
        scores = pieces.Select(static p => p.Score).ToArray();
        trie = new CharTrie(Vocabulary.Entries);
        unknownScore = scores.DefaultIfEmpty(double.PositiveInfinity).Min() - UnknownPenalty;
        if (byteFallback)
        {
            fallback = new int[256];
            for (var b = 0; b < 256; b++)
            {
                fallback[b] = Vocabulary.Id(string.Create(CultureInfo.InvariantCulture, $"<0x{b:X2}>"));
            }
        }
    }

    /// <inheritdoc/>
    public override void Tokenize(ReadOnlySpan<char> piece, bool byteLevel, TokenBuffer tokens)
    {
        if (piece.Length > WordCache.LongestWord)
        {
            Segment(piece, tokens);
            return;
        }

        var hash = WordCache.Hash(piece);
        if (cache.TryGet(piece, hash, tokens))
        {
            return;
        }

        var first = tokens.Count;
        Segment(piece, tokens);
        cache.Add(piece, hash, tokens.Items[first..]);
    }

    private void Segment(ReadOnlySpan<char> piece, TokenBuffer tokens)
    {
        var room = tokens.Room<LatticeRoom>();
        var best = room.Nodes(piece.Length + 1);
        for (var start = 0; start < piece.Length;)
        {
            var here = best[start].Score;
            var units = char.IsHighSurrogate(piece[start]) && start + 1 < piece.Length ? 2 : 1;
            var single = false;
            var node = CharTrie.Root;
            for (var end = start; end < piece.Length;)
            {
                node = trie.Child(node, piece[end++]);
                if (node < 0)
                {
                    break;
                }

                var id = trie.Id(node);
                if (id < 0)
                {
                    continue;
                }

                var score = scores[id] + here;
                ref var target = ref best[end];
                if (target.Start < 0 || score > target.Score)
                {
                    target = new LatticeNode(score, start, id);
                }

                single |= end - start == units;
            }

            if (!single)
            {
                ref var target = ref best[start + units];
                var score = unknownScore + here;
                if (target.Start < 0 || score > target.Score)
                {
                    target = unknownId >= 0 ? new LatticeNode(score, start, unknownId) : throw WordPiece.Missing(null);
                }
            }

            start += units;
        }

        var first = tokens.Count;
        var unknownEnd = -1;
        for (var end = piece.Length; end > 0;)
        {
            var (_, start, id) = best[end];
            if (unknownId >= 0 && id == unknownId)
            {
                unknownEnd = unknownEnd < 0 ? end : unknownEnd;
            }
            else
            {
                if (unknownEnd >= 0)
                {
                    Unknown(piece, end, unknownEnd, tokens);
                    unknownEnd = -1;
                }

                tokens.Add(new TokenItem(id, start, end));
            }

            end = start;
        }

        if (unknownEnd >= 0)
        {
            Unknown(piece, 0, unknownEnd, tokens);
        }

        tokens.Reverse(first);
        room.Trim();
    }

    // A run of unknown characters; written back to front, as everything here.
    private void Unknown(ReadOnlySpan<char> piece, int start, int end, TokenBuffer tokens)
    {
        var text = piece[start..end];
        var id = Vocabulary.Id(text);
        if (id >= 0)
        {
            tokens.Add(new TokenItem(id, start, end));
            return;
        }

        if (fallback is not null)
        {
            var known = true;
            Span<byte> utf8 = stackalloc byte[4];
            foreach (var rune in text.EnumerateRunes())
            {
                foreach (var b in utf8[..rune.EncodeToUtf8(utf8)])
                {
                    known &= fallback[b] >= 0;
                }
            }

            if (known)
            {
                // Every byte stands for the whole run, as in the reference.
                var first = tokens.Count;
                foreach (var rune in text.EnumerateRunes())
                {
                    foreach (var b in utf8[..rune.EncodeToUtf8(utf8)])
                    {
                        tokens.Add(new TokenItem(fallback[b], start, end));
                    }
                }

                tokens.Reverse(first);
                return;
            }
        }

        tokens.Add(new TokenItem(unknownId, start, end, Surface: true));
    }

    private readonly record struct LatticeNode(double Score, int Start, int Id);

    /// <summary>The best way to every place of a piece.</summary>
    private sealed class LatticeRoom
    {
        private LatticeNode[] nodes = new LatticeNode[128];

        public Span<LatticeNode> Nodes(int count)
        {
            if (nodes.Length < count)
            {
                nodes = new LatticeNode[Math.Max(count, nodes.Length * 2)];
            }

            var span = nodes.AsSpan(0, count);
            span.Fill(new LatticeNode(0, -1, 0));
            return span;
        }

        public void Trim()
        {
            if (nodes.Length > 1 << 16)
            {
                nodes = new LatticeNode[128];
            }
        }
    }
}
