using System.Buffers;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>
/// <c>WordPiece</c>: the longest known beginning, then the longest known continuation, and so on; a word that cannot be spelt
/// so, or has more than <paramref name="maxCharacters"/> code points, is one unknown token.
/// </summary>
internal sealed class WordPiece(Vocabulary vocabulary, string unknown = "[UNK]", string prefix = "##", int maxCharacters = 100) : TokenizerModel(vocabulary)
{
    private readonly WordCache cache = new();
    private readonly int unknownId = vocabulary.Id(unknown);
    private readonly int longest = vocabulary.Entries.Keys.Select(static k => k.Length).DefaultIfEmpty().Max();

    /// <inheritdoc/>
    public override string? ContinuingSubwordPrefix => prefix.Length == 0 ? null : prefix;

    /// <inheritdoc/>
    public override void Tokenize(ReadOnlySpan<char> piece, bool byteLevel, TokenBuffer tokens)
    {
        if (piece.Length > WordCache.LongestWord)
        {
            Spell(piece, tokens);
            return;
        }

        var hash = WordCache.Hash(piece);
        if (cache.TryGet(piece, hash, tokens))
        {
            return;
        }

        var first = tokens.Count;
        Spell(piece, tokens);
        cache.Add(piece, hash, tokens.Items[first..]);
    }

    private void Spell(ReadOnlySpan<char> word, TokenBuffer tokens)
    {
        // Units are at least as many as code points and at most twice as many.
        if (word.Length > maxCharacters && (word.Length > 2L * maxCharacters || CodePoints(word) > maxCharacters))
        {
            Unknown(word, tokens);
            return;
        }

        var first = tokens.Count;
        var buffer = ArrayPool<char>.Shared.Rent(prefix.Length + word.Length);
        prefix.CopyTo(buffer);
        word.CopyTo(buffer.AsSpan(prefix.Length));
        var start = 0;
        while (start < word.Length)
        {
            var end = Math.Min(word.Length, start + longest);
            var id = -1;
            for (; end > start; end--)
            {
                if (end < word.Length && char.IsLowSurrogate(word[end]))
                {
                    continue;
                }

                if (start == 0)
                {
                    id = Vocabulary.Id(word[..end]);
                }
                else
                {
                    // The prefix goes over what was already spelt: the buffer always holds prefix + rest.
                    id = Vocabulary.Id(buffer.AsSpan(start, prefix.Length + end - start));
                }

                if (id >= 0)
                {
                    break;
                }
            }

            if (id < 0)
            {
                break;
            }

            tokens.Add(new TokenItem(id, start, end));
            start = end;
            if (start < word.Length)
            {
                prefix.CopyTo(buffer.AsSpan(start));
            }
        }

        ArrayPool<char>.Shared.Return(buffer);
        if (start < word.Length)
        {
            tokens.Truncate(first);
            Unknown(word, tokens);
        }
    }

    private void Unknown(ReadOnlySpan<char> word, TokenBuffer tokens)
    {
        if (unknownId < 0)
        {
            throw Missing(unknown);
        }

        tokens.Add(new TokenItem(unknownId, 0, word.Length));
    }

    internal static InferenceException Missing(string? unknown) => new(
        ErrorCode.Unprocessable,
        $"the text has a part that the model's vocabulary does not know, and the vocabulary has no unknown token{(unknown is null ? "" : $" '{unknown}'")}; remove that part.");

    private static int CodePoints(ReadOnlySpan<char> word)
    {
        var count = word.Length;
        foreach (var c in word)
        {
            count -= char.IsLowSurrogate(c) ? 1 : 0;
        }

        return count;
    }
}
