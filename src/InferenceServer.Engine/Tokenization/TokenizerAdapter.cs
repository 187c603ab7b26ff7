using System.Buffers;
using System.Runtime.InteropServices;
using Microsoft.ML.Tokenizers;

namespace InferenceServer.Engine.Tokenization;

/// <summary>
/// A tokenizer as a <see cref="Microsoft.ML.Tokenizers.Tokenizer"/>, for .NET code that takes that type (text chunkers, prompt budgets). Thread-safe.
/// </summary>
/// <remarks>
/// Tokens are those of the text alone, without the special tokens that a model wants around it (<see cref="Tokenizer.SpecialTokensToAdd"/> says how many those are); special tokens
/// that are written in the text are found as always. Without pre-tokenization the text is not split, but still written as bytes or with marks for spaces where the model wants that. Offsets and indices are UTF-16 units of the text as it was given, whatever the normalizer does, so the
/// normalized text of the base type's methods is always null; the space that belongs to a token is in its offset. Ids and counts equal the reference.
/// </remarks>
/// <param name="tokenizer">The tokenizer of a model folder.</param>
public sealed class TokenizerAdapter(Tokenizer tokenizer) : Microsoft.ML.Tokenizers.Tokenizer
{
    /// <summary>The tokenizer that this one stands for.</summary>
    public Tokenizer Inner { get; } = tokenizer ?? throw new ArgumentNullException(nameof(tokenizer));

    /// <inheritdoc/>
    /// <exception cref="Diagnostics.InferenceException">The text has a part that the vocabulary cannot express.</exception>
    protected override EncodeResults<EncodedToken> EncodeToTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        var source = text ?? textSpan.ToString();
        var encoding = Encode(source, settings);
        var (count, consumed) = Fit(encoding, source, settings, fromEnd: false, checks: false);
        var tokens = new EncodedToken[count];
        for (var i = 0; i < count; i++)
        {
            var (start, end) = encoding.Offsets[i];
            tokens[i] = new EncodedToken(encoding.Ids[i], encoding.Tokens[i], new Range(start, end));
        }

        return new EncodeResults<EncodedToken> { Tokens = tokens, CharsConsumed = consumed };
    }

    /// <inheritdoc/>
    /// <exception cref="Diagnostics.InferenceException">The text has a part that the vocabulary cannot express.</exception>
    protected override EncodeResults<int> EncodeToIds(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        var source = text ?? textSpan.ToString();
        var encoding = Encode(source, settings);
        var (count, consumed) = Fit(encoding, source, settings, fromEnd: false, checks: false);
        return new EncodeResults<int> { Tokens = count == encoding.Length ? encoding.Ids : encoding.Ids[..count], CharsConsumed = consumed };
    }

    /// <inheritdoc/>
    /// <exception cref="Diagnostics.InferenceException">The text has a part that the vocabulary cannot express.</exception>
    protected override int CountTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        var source = text ?? textSpan.ToString();
        return Fit(Encode(source, settings), source, settings, fromEnd: false, checks: false).Count;
    }

    /// <summary>
    /// The place up to which (<paramref name="fromEnd"/>: from which) a text has at most so many tokens, also when that part is encoded by itself. It never lies within a character.
    /// </summary>
    /// <param name="text">The text, or null.</param>
    /// <param name="textSpan">The text when <paramref name="text"/> is null.</param>
    /// <param name="settings">Most tokens, and which steps are taken.</param>
    /// <param name="fromEnd">Whether the end of the text is kept.</param>
    /// <param name="normalizedText">Null: the index is one of the text as it was given.</param>
    /// <param name="tokenCount">Number of the text's tokens before (behind) the place.</param>
    /// <returns>The index in UTF-16 units, at the border of the last token that fits. When all fit, the length of the text (0); when none fits, 0 (the length).</returns>
    /// <exception cref="Diagnostics.InferenceException">The text has a part that the vocabulary cannot express.</exception>
    protected override int GetIndexByTokenCount(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings, bool fromEnd, out string? normalizedText, out int tokenCount)
    {
        var source = text ?? textSpan.ToString();
        normalizedText = null;
        (tokenCount, var index) = Fit(Encode(source, settings), source, settings, fromEnd, checks: true);
        return index;
    }

    /// <summary>Decodes ids, special tokens included; ids that do not exist are dropped.</summary>
    /// <param name="ids">The ids.</param>
    public override string Decode(IEnumerable<int> ids) => Inner.Decode(Ids(ids), skipSpecialTokens: false);

    /// <summary>Decodes ids into a buffer: all of them, or as many as fit without half a character.</summary>
    /// <param name="ids">The ids.</param>
    /// <param name="destination">The buffer, UTF-16.</param>
    /// <param name="idsConsumed">How many ids are in it.</param>
    /// <param name="charsWritten">How many UTF-16 units were written.</param>
    /// <returns>Done; DestinationTooSmall; InvalidData when the next id does not exist.</returns>
    public override OperationStatus Decode(IEnumerable<int> ids, Span<char> destination, out int idsConsumed, out int charsWritten)
    {
        var all = Ids(ids);
        var known = 0;
        while (known < all.Length && Inner.IdToToken(all[known]) is not null)
        {
            known++;
        }

        var text = Inner.Decode(all[..known], skipSpecialTokens: false);
        if (text.TryCopyTo(destination))
        {
            (idsConsumed, charsWritten) = (known, text.Length);
            return known == all.Length ? OperationStatus.Done : OperationStatus.InvalidData;
        }

        (idsConsumed, charsWritten) = (0, 0);
        var stream = Inner.DecodeStream(skipSpecialTokens: false);
        for (var i = 0; i < known; i++)
        {
            var piece = stream.Push(all[i]);
            if (piece.Length == 0)
            {
                continue;
            }

            if (!piece.TryCopyTo(destination[charsWritten..]))
            {
                break;
            }

            charsWritten += piece.Length;
            idsConsumed = i + 1;
        }

        return OperationStatus.DestinationTooSmall;
    }

    private static ReadOnlySpan<int> Ids(IEnumerable<int> ids)
    {
        ArgumentNullException.ThrowIfNull(ids);
        return ids switch
        {
            int[] array => array,
            List<int> list => CollectionsMarshal.AsSpan(list),
            _ => ids.ToArray(),
        };
    }

    private TokenEncoding Encode(string text, EncodeSettings settings) => Inner.EncodePlain(text, settings.ConsiderNormalization, settings.ConsiderPreTokenization);

    // How many tokens fit, and where the text is cut for them. With checks what is kept has no more tokens by itself, either (a word that is cut can have).
    private (int Count, int Index) Fit(TokenEncoding encoding, string text, EncodeSettings settings, bool fromEnd, bool checks)
    {
        var (length, most) = (encoding.Length, settings.MaxTokenCount);
        if (length <= most)
        {
            return (length, fromEnd ? 0 : text.Length);
        }

        var (ends, starts) = Borders(encoding.Offsets, text.Length);
        var step = 1;
        for (int count = most, tries = 1; count > 0; count -= step, tries++)
        {
            var at = fromEnd ? length - count : count;
            if (ends[at] > starts[at])
            {
                continue; // a character whose tokens lie on both sides
            }

            var index = fromEnd ? starts[at] : ends[at];
            if (!checks || Encode(fromEnd ? text[index..] : text[..index], settings).Length <= most)
            {
                return (count, index);
            }

            step = tries % 8 == 0 ? step * 2 : step; // each try encodes the text
        }

        return (0, fromEnd ? text.Length : 0);
    }

    // By the number of tokens before a cut: where the text of those ends, and where that of the others starts.
    private static (int[] Ends, int[] Starts) Borders((int Start, int End)[] offsets, int textLength)
    {
        var (ends, starts) = (new int[offsets.Length + 1], new int[offsets.Length + 1]);
        starts[^1] = textLength;
        for (var i = 0; i < offsets.Length; i++)
        {
            ends[i + 1] = Math.Max(ends[i], offsets[i].End);
            var last = offsets.Length - 1 - i;
            starts[last] = Math.Min(starts[last + 1], offsets[last].Start);
        }

        return (ends, starts);
    }
}
