using System.Buffers;
using System.Globalization;
using System.Text;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization.PreTokenizers;

namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>The members of a BPE model beside vocabulary and merges, as tokenizer.json has them.</summary>
internal sealed record BpeOptions
{
    /// <summary><c>unk_token</c></summary>
    public string? Unknown { get; init; }

    /// <summary><c>continuing_subword_prefix</c></summary>
    public string? ContinuingSubwordPrefix { get; init; }

    /// <summary><c>end_of_word_suffix</c></summary>
    public string? EndOfWordSuffix { get; init; }

    /// <summary><c>fuse_unk</c></summary>
    public bool FuseUnknown { get; init; }

    /// <summary><c>byte_fallback</c></summary>
    public bool ByteFallback { get; init; }

    /// <summary><c>ignore_merges</c></summary>
    public bool IgnoreMerges { get; init; }
}

/// <summary>
/// <c>BPE</c>: characters (or bytes), merged pair by pair, the lowest rank first, the leftmost first among equals. A heap over a
/// linked list of symbols: n log n in the length of the piece.
/// </summary>
internal sealed class BPE : TokenizerModel
{
    private readonly BpeOptions options;
    private readonly MergeTable merges;
    private readonly string prefix;
    private readonly string suffix;
    private readonly int unknownId;
    private readonly int[] byteSymbols = new int[256];
    private readonly int[]? fallback;
    private readonly int[] asciiIds = new int[128];
    private readonly bool bytes;
    private readonly bool complete;
    private readonly WordCache cache = new();
    private readonly WordCache byteCache;

    /// <summary>Builds the model. A merge whose parts or result the vocabulary lacks is an error, as in the reference.</summary>
    /// <exception cref="ModelLoadException">A merge does not fit the vocabulary.</exception>
    public BPE(Vocabulary vocabulary, IReadOnlyList<(string Left, string Right)> merges, BpeOptions options, Func<int, string, ModelLoadException>? error = null)
        : base(vocabulary)
    {
        this.options = options;
        prefix = options.ContinuingSubwordPrefix ?? "";
        suffix = options.EndOfWordSuffix ?? "";
        error ??= static (rank, message) => new ModelLoadException($"merge {rank}: {message}");
        var table = new List<(int, int, int)>(merges.Count);
        var joined = new StringBuilder();
        for (var rank = 0; rank < merges.Count; rank++)
        {
            var (left, right) = merges[rank];
            var leftId = vocabulary.Id(left);
            var rightId = vocabulary.Id(right);
            if (leftId < 0 || rightId < 0)
            {
                throw error(rank, $"the token '{(leftId < 0 ? left : right)}' is not in the vocabulary.");
            }

            if (right.Length < prefix.Length)
            {
                throw error(rank, $"the token '{right}' is shorter than continuing_subword_prefix.");
            }

            joined.Clear().Append(left).Append(right, prefix.Length, right.Length - prefix.Length);
            var merged = vocabulary.Id(joined.ToString());
            if (merged < 0)
            {
                throw error(rank, $"the merged token '{joined}' is not in the vocabulary.");
            }

            table.Add((leftId, rightId, merged));
        }

        this.merges = new MergeTable(table);
        unknownId = options.Unknown is null ? -1 : vocabulary.Id(options.Unknown);
        bytes = prefix.Length == 0 && suffix.Length == 0;
        Span<char> symbol = stackalloc char[1];
        for (var b = 0; b < 256; b++)
        {
            symbol[0] = ByteSymbols.Symbol((byte)b);
            byteSymbols[b] = vocabulary.Id(symbol);
            if (b < 128)
            {
                symbol[0] = (char)b;
                asciiIds[b] = vocabulary.Id(symbol);
            }
        }

        if (options.ByteFallback)
        {
            fallback = new int[256];
            for (var b = 0; b < 256; b++)
            {
                fallback[b] = vocabulary.Id(string.Create(CultureInfo.InvariantCulture, $"<0x{b:X2}>"));
            }
        }

        byteCache = bytes ? new WordCache() : cache;
        complete = byteSymbols.All(static id => id >= 0);
    }

    /// <inheritdoc/>
    public override bool TakesBytes => bytes;

    /// <inheritdoc/>
    public override string? ContinuingSubwordPrefix => prefix.Length == 0 ? null : prefix;

    /// <inheritdoc/>
    public override void Tokenize(ReadOnlySpan<char> piece, bool byteLevel, TokenBuffer tokens)
    {
        if (piece.Length > WordCache.LongestWord)
        {
            Merge(piece, byteLevel, tokens);
            return;
        }

        var known = byteLevel ? byteCache : cache;
        var hash = WordCache.Hash(piece);
        if (known.TryGet(piece, hash, tokens))
        {
            return;
        }

        var first = tokens.Count;
        Merge(piece, byteLevel, tokens);
        known.Add(piece, hash, tokens.Items[first..]);
    }

    private void Merge(ReadOnlySpan<char> piece, bool byteLevel, TokenBuffer tokens)
    {
        var first = tokens.Count;
        if (options.IgnoreMerges && Whole(piece, byteLevel) is >= 0 and var whole)
        {
            tokens.Add(new TokenItem(whole, 0, piece.Length));
            return;
        }

        var room = tokens.Room<MergeWorkspace>();
        room.Clear();
        if (byteLevel && !CanAddBytes(piece))
        {
            MergeSymbols(piece, first, tokens);
            return;
        }

        var bytesAsUnits = byteLevel ? AddBytes(piece, room) : AddCharacters(piece, room);
        room.MergeAll(merges);
        if (bytesAsUnits)
        {
            EmitBytes(piece, room, tokens);
        }
        else
        {
            var at = 0;
            foreach (ref readonly var symbol in room.Symbols)
            {
                if (symbol.Length > 0)
                {
                    tokens.Add(new TokenItem(symbol.Id, at, at + symbol.Length));
                    at += symbol.Length;
                }
            }
        }

        room.Trim();
    }

    // The id of the whole piece as one token, or -1.
    private int Whole(ReadOnlySpan<char> piece, bool byteLevel)
    {
        if (!byteLevel)
        {
            return Vocabulary.Id(piece);
        }

        var count = Encoding.UTF8.GetByteCount(piece);
        if (count > 1024)
        {
            // No token is longer than a word; without this a long text would be copied for nothing.
            return -1;
        }

        Span<byte> utf8 = stackalloc byte[count];
        Encoding.UTF8.GetBytes(piece, utf8);
        Span<char> symbols = stackalloc char[count];
        for (var i = 0; i < count; i++)
        {
            symbols[i] = ByteSymbols.Symbol(utf8[i]);
        }

        return Vocabulary.Id(symbols);
    }

    // Whether the vocabulary has a symbol for every byte of the piece.
    private bool CanAddBytes(ReadOnlySpan<char> piece)
    {
        if (complete)
        {
            return true;
        }

        Span<byte> utf8 = stackalloc byte[4];
        foreach (var rune in piece.EnumerateRunes())
        {
            foreach (var b in utf8[..rune.EncodeToUtf8(utf8)])
            {
                if (byteSymbols[b] < 0)
                {
                    return false;
                }
            }
        }

        return true;
    }

    // A piece with bytes that the vocabulary lacks: its symbols are written out as characters, and the tokens' places turned back.
    private void MergeSymbols(ReadOnlySpan<char> piece, int first, TokenBuffer tokens)
    {
        var most = Encoding.UTF8.GetMaxByteCount(piece.Length);
        var symbols = ArrayPool<char>.Shared.Rent(most);
        var places = ArrayPool<(int Start, int End)>.Shared.Rent(most);
        Span<byte> utf8 = stackalloc byte[4];
        var count = 0;
        var at = 0;
        foreach (var rune in piece.EnumerateRunes())
        {
            foreach (var b in utf8[..rune.EncodeToUtf8(utf8)])
            {
                symbols[count] = ByteSymbols.Symbol(b);
                places[count++] = (at, at + rune.Utf16SequenceLength);
            }

            at += rune.Utf16SequenceLength;
        }

        Merge(symbols.AsSpan(0, count), byteLevel: false, tokens);
        foreach (ref var token in tokens.Items[first..])
        {
            token = token with { Start = places[token.Start].Start, End = places[Math.Max(token.Start, token.End - 1)].End };
        }

        ArrayPool<char>.Shared.Return(symbols);
        ArrayPool<(int Start, int End)>.Shared.Return(places);
    }

    // The piece's UTF-8 bytes as symbols. Returns whether lengths count bytes (not so in ASCII).
    private bool AddBytes(ReadOnlySpan<char> piece, MergeWorkspace room)
    {
        if (Ascii.IsValid(piece))
        {
            foreach (var c in piece)
            {
                room.Add(byteSymbols[c], 1);
            }

            return false;
        }

        var utf8 = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(piece.Length));
        var count = Encoding.UTF8.GetBytes(piece, utf8);
        foreach (var b in utf8.AsSpan(0, count))
        {
            room.Add(byteSymbols[b], 1);
        }

        ArrayPool<byte>.Shared.Return(utf8);
        return true;
    }

    // The piece's characters as symbols. Returns whether lengths count UTF-8 bytes: they must where a character became bytes or
    // vanished, since the reference's offsets do and then no longer follow the characters.
    private bool AddCharacters(ReadOnlySpan<char> piece, MergeWorkspace room)
    {
        var exact = false;
        if (!TryAddCharacters(piece, room, inBytes: false))
        {
            room.Clear();
            TryAddCharacters(piece, room, inBytes: true);
            exact = true;
        }

        return exact;
    }

    private bool TryAddCharacters(ReadOnlySpan<char> piece, MergeWorkspace room, bool inBytes)
    {
        var unknownLength = 0;
        Span<byte> utf8 = stackalloc byte[4];
        var longest = prefix.Length + 2 + suffix.Length;
        var text = longest <= 128 ? stackalloc char[128] : new char[longest];
        prefix.CopyTo(text);
        for (var i = 0; i < piece.Length;)
        {
            var c = piece[i];
            var units = char.IsHighSurrogate(c) && i + 1 < piece.Length ? 2 : 1;
            var character = piece.Slice(i, units);
            var isFirst = i == 0;
            var isLast = i + units == piece.Length;
            i += units;
            int id;
            scoped var symbol = character;
            if (c < 128 && (isFirst || prefix.Length == 0) && (!isLast || suffix.Length == 0))
            {
                id = asciiIds[c];
            }
            else
            {
                if ((!isFirst && prefix.Length > 0) || (isLast && suffix.Length > 0))
                {
                    character.CopyTo(text[prefix.Length..]);
                    var end = prefix.Length + units;
                    if (isLast)
                    {
                        suffix.CopyTo(text[end..]);
                        end += suffix.Length;
                    }

                    symbol = isFirst ? text[prefix.Length..end] : text[..end];
                }

                id = Vocabulary.Id(symbol);
            }

            var length = inBytes ? Utf8Length(character) : units;
            if (id >= 0)
            {
                if (unknownLength > 0)
                {
                    room.Add(unknownId, unknownLength);
                    unknownLength = 0;
                }

                room.Add(id, length);
                continue;
            }

            if (fallback is not null && CanFallBack(symbol, utf8))
            {
                if (!inBytes)
                {
                    return false;
                }

                // An unknown character before is not written first (it comes after the bytes): so does the reference.
                foreach (var rune in symbol.EnumerateRunes())
                {
                    var count = rune.EncodeToUtf8(utf8);
                    for (var b = 0; b < count; b++)
                    {
                        room.Add(fallback[utf8[b]], 1);
                    }
                }

                continue;
            }

            if (options.Unknown is null)
            {
                if (!inBytes)
                {
                    return false;
                }

                continue;
            }

            if (unknownId < 0)
            {
                throw WordPiece.Missing(options.Unknown);
            }

            if (unknownLength > 0 && !options.FuseUnknown)
            {
                room.Add(unknownId, unknownLength);
                unknownLength = 0;
            }

            unknownLength += length;
        }

        if (unknownLength > 0)
        {
            room.Add(unknownId, unknownLength);
        }

        return true;
    }

    private bool CanFallBack(ReadOnlySpan<char> symbol, Span<byte> utf8)
    {
        foreach (var rune in symbol.EnumerateRunes())
        {
            var count = rune.EncodeToUtf8(utf8);
            for (var b = 0; b < count; b++)
            {
                if (fallback![utf8[b]] < 0)
                {
                    return false;
                }
            }
        }

        return true;
    }

    private static int Utf8Length(ReadOnlySpan<char> character) =>
        character.Length == 2 ? 4 : character[0] < 0x80 ? 1 : character[0] < 0x800 ? 2 : 3;

    // Lengths count bytes: a token spans the characters that its first and its last byte belong to.
    private static void EmitBytes(ReadOnlySpan<char> piece, MergeWorkspace room, TokenBuffer tokens)
    {
        var unit = 0;
        var unitByte = 0; // first byte of the character at `unit`
        var at = 0;
        foreach (ref readonly var symbol in room.Symbols)
        {
            if (symbol.Length == 0)
            {
                continue;
            }

            Advance(piece, at, ref unit, ref unitByte);
            var start = unit;
            at += symbol.Length;
            Advance(piece, at - 1, ref unit, ref unitByte);
            var end = Math.Min(piece.Length, unit + (unit < piece.Length && char.IsHighSurrogate(piece[unit]) ? 2 : 1));
            tokens.Add(new TokenItem(symbol.Id, Math.Min(start, end), end));
        }

        // Moves to the character that holds byte `target`.
        static void Advance(ReadOnlySpan<char> piece, int target, ref int unit, ref int unitByte)
        {
            while (unit < piece.Length)
            {
                var units = char.IsHighSurrogate(piece[unit]) && unit + 1 < piece.Length ? 2 : 1;
                var length = Utf8Length(piece.Slice(unit, units));
                if (unitByte + length > target)
                {
                    return;
                }

                unit += units;
                unitByte += length;
            }
        }
    }
}
