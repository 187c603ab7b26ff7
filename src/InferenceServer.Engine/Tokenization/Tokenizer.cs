using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization.Decoders;
using InferenceServer.Engine.Tokenization.Models;
using InferenceServer.Engine.Tokenization.Normalizers;
using InferenceServer.Engine.Tokenization.PostProcessors;
using InferenceServer.Engine.Tokenization.PreTokenizers;

namespace InferenceServer.Engine.Tokenization;

/// <summary>
/// A tokenizer built from a model folder: <c>tokenizer.json</c>, or the older files (vocab.txt; vocab.json + merges.txt;
/// SentencePiece models), with tokenizer_config.json and special_tokens_map.json. Immutable and thread-safe.
/// Equal to the reference, Hugging Face tokenizers 0.22.
/// </summary>
public sealed class Tokenizer
{
    private readonly Normalizer? normalizer;
    private readonly PreTokenizer? preTokenizer;
    private readonly TokenizerModel model;
    private readonly PostProcessor? postProcessor;
    private readonly Decoder? decoder;
    private readonly AddedVocabulary added;
    private readonly SpaceCounts? spaces;
    private readonly Func<int, string?> token;
    private readonly Tokenizer? target;

    internal Tokenizer(TokenizerParts parts, TokenizerConfig config, IReadOnlyList<string>? notes = null)
    {
        Notes = notes ?? [];
        normalizer = parts.Normalizer;
        preTokenizer = parts.PreTokenizer;
        model = parts.Model;
        postProcessor = parts.PostProcessor;
        decoder = parts.Decoder;
        FileTruncation = parts.Truncation;
        FilePadding = parts.Padding;
        added = new AddedVocabulary(parts.AddedTokens, parts.LaterTokens, model, normalizer);
        token = IdToToken;
        spaces = postProcessor is { TrimsOffsets: true } ? new SpaceCounts(token) : null;
        target = parts.Target is null ? null : new Tokenizer(parts.Target, config);
        Named = config.Resolve(TokenToId, added.SpecialIds);
        ModelMaxLength = config.ModelMaxLength;
        TruncationSide = config.TruncationSide;
        PaddingSide = config.PaddingSide;
        Parts = parts.Names ?? new Dictionary<string, string>
        {
            ["normalizer"] = normalizer?.GetType().Name ?? "none",
            ["pre_tokenizer"] = preTokenizer?.GetType().Name ?? "none",
            ["model"] = model.GetType().Name,
            ["post_processor"] = postProcessor?.GetType().Name ?? "none",
            ["decoder"] = decoder?.GetType().Name ?? "none",
        };
    }

    /// <summary>Size of the vocabulary, added tokens included.</summary>
    public int VocabularySize => model.Vocabulary.Count + added.Extra;

    /// <summary>Ids of the tokenizer's special tokens.</summary>
    public IReadOnlySet<int> SpecialIds => added.SpecialIds;

    /// <summary>The named special tokens of tokenizer_config.json and special_tokens_map.json, with their ids.</summary>
    public NamedTokens Named { get; }

    /// <summary><c>model_max_length</c> of tokenizer_config.json when it is a real limit (below 1e9), else null.</summary>
    public int? ModelMaxLength { get; }

    /// <summary><c>truncation_side</c> of tokenizer_config.json.</summary>
    public Side TruncationSide { get; }

    /// <summary><c>padding_side</c> of tokenizer_config.json.</summary>
    public Side PaddingSide { get; }

    /// <summary>The mark (such as <c>##</c>) before a token that continues a word; null when the vocabulary has none.</summary>
    public string? ContinuingSubwordPrefix => model.ContinuingSubwordPrefix;

    /// <summary>The parts as the JSON names them, for people: normalizer, pre_tokenizer, model, post_processor, decoder.</summary>
    public IReadOnlyDictionary<string, string> Parts { get; }

    /// <summary>What a person should know of how the files were read: one sentence for each place where two of them disagree or something had to be chosen.</summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>Truncation that tokenizer.json asks for; applied only when it is passed to <see cref="Encode(string, string?, bool, Truncation?, WorkLimits?)"/>.</summary>
    internal Truncation? FileTruncation { get; }

    /// <summary>Padding that tokenizer.json asks for; applied only when asked for.</summary>
    internal Padding? FilePadding { get; }

    /// <summary>Builds the tokenizer of a model folder.</summary>
    /// <param name="folder">Path of the folder.</param>
    /// <param name="use">Which file counts where tokenizer_config.json and tokenizer.json disagree.</param>
    /// <param name="id">The model's id, for the names of settings in <see cref="Notes"/>; the folder's name when null.</param>
    /// <exception cref="ModelLoadException">A file is missing or damaged, leads outside the folder, or names a part that is not supported; the message names the file and the JSON path.</exception>
    public static Tokenizer Load(string folder, TokenizerConfigUse use = TokenizerConfigUse.Tokenizer, string? id = null) => TokenizerReader.Load(folder, use, id);

    /// <summary>Encodes one text, or a pair when <paramref name="pair"/> is not null (an empty pair is a pair). Without <paramref name="truncation"/> nothing is cut, whatever the file says.</summary>
    /// <remarks>What truncation at the right cuts off, and nobody keeps, is not looked at by the model: an inexpressible part there is no error.</remarks>
    /// <param name="text">The text.</param>
    /// <param name="pair">The second text, or null.</param>
    /// <param name="addSpecialTokens">Whether the post-processor adds its tokens.</param>
    /// <param name="truncation">How what is too long is cut; null: not at all.</param>
    /// <param name="work">What the texts of one request may cost together; null: this encoding by itself.</param>
    /// <exception cref="InferenceException">The truncation cannot be done (no second sequence, too short a side, too long a stride), or the text has a part that the vocabulary cannot express or takes too many steps of a regular expression.</exception>
    /// <exception cref="InferenceException">A text alone has more tokens than <see cref="WorkLimits.MaxTokens"/>.</exception>
    /// <exception cref="OperationCanceledException">The work was given up.</exception>
    public TokenEncoding Encode(string text, string? pair = null, bool addSpecialTokens = true, Truncation? truncation = null, WorkLimits? work = null) =>
        Encode(text, pair, addSpecialTokens, truncation, null, work);

    /// <summary>Encodes, and pads a batch of one.</summary>
    internal TokenEncoding Encode(string text, string? pair, bool addSpecialTokens, Truncation? truncation, Padding? padding, WorkLimits? work = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (truncation is not null)
        {
            Check(truncation);
        }

        var room = EncodeWorkspace.Current;
        try
        {
            room.Work = work ?? new WorkLimits();
            room.Work.Allow(text.Length + (pair?.Length ?? 0));
            return Encode(room, text, pair, addSpecialTokens, truncation, padding);
        }
        finally
        {
            room.Release();
        }
    }

    private TokenEncoding Encode(EncodeWorkspace room, string text, string? pair, bool addSpecialTokens, Truncation? truncation, Padding? padding)
    {
        // Without room for the special tokens the reference's count wraps around: nothing is cut.
        var maxLength = truncation is null ? -1 : addSpecialTokens ? truncation.MaxLength - SpecialTokensToAdd(pair is not null) : truncation.MaxLength;

        if (maxLength > 0 && truncation is { KeepsRest: false, Direction: Side.Right })
        {
            FillEnough(room, text, pair, maxLength, truncation.Strategy);
        }
        else
        {
            Fill(room, room.First, text, 0, normalizer, preTokenizer, int.MaxValue);
            if (pair is not null)
            {
                Fill(room, room.Second, pair, 1, normalizer, preTokenizer, int.MaxValue);
            }
        }

        var encoding = EncodingBuilder.Of(room.First, 0, room.First.Count);
        var second = pair is null ? null : EncodingBuilder.Of(room.Second, 0, room.Second.Count);
        var isTruncated = false;
        if (truncation is not null && maxLength >= 0)
        {
            TruncationSteps.Cut(ref encoding, ref second, maxLength, truncation);
            isTruncated = encoding.Length < room.First.Count || second?.Length < room.Second.Count;
        }

        var draft = PostProcessor.Run(postProcessor, encoding, second, addSpecialTokens);
        var result = Finish(draft, padding, padding?.Target(draft.Length) ?? 0);
        result.IsTruncated = isTruncated;
        return result;
    }

    /// <summary>Encodes one text without the post-processor, and, where asked, without the normalizer or the splitting of the pre-tokenizer.</summary>
    internal TokenEncoding EncodePlain(string text, bool normalize, bool split)
    {
        var room = EncodeWorkspace.Current;
        try
        {
            room.Work = new WorkLimits();
            room.Work.Allow(text.Length);
            Fill(room, room.First, text, 0, normalize ? normalizer : null, split ? preTokenizer : preTokenizer?.WithoutSplitting, int.MaxValue);
            return Finish(PostProcessor.Run(null, EncodingBuilder.Of(room.First, 0, room.First.Count), null, false), null, 0);
        }
        finally
        {
            room.Release();
        }
    }

    /// <summary>Encodes a target text of an encoder-decoder (another vocabulary for some, Marian's target.spm).</summary>
    public TokenEncoding EncodeTarget(string text, bool addSpecialTokens = true) => (target ?? this).Encode(text, null, addSpecialTokens);

    /// <summary>Wraps ready ids in the tokenizer's special tokens (cls, sep or whatever its post-processor adds).</summary>
    public int[] AddSpecialTokens(ReadOnlySpan<int> ids)
    {
        var row = new TokenRow();
        row.Reset("", 0);
        row.Reserve(ids.Length);
        foreach (var id in ids)
        {
            row.Add(id, 0, 0, -1);
        }

        var result = Finish(PostProcessor.Run(postProcessor, EncodingBuilder.Of(row, 0, row.Count), null, true), null, 0).Ids;
        EncodeWorkspace.Current.Release();
        return result;
    }

    /// <summary>Decodes ids as the reference does; ids that do not exist are dropped.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true)
    {
        var tokens = new List<string>(ids.Length);
        foreach (var id in ids)
        {
            if (IdToToken(id) is { } token && !(skipSpecialTokens && added.IsSpecial(token)))
            {
                tokens.Add(token);
            }
        }

        return decoder is null ? string.Join(' ', tokens) : string.Concat(decoder.Decode(tokens));
    }

    /// <summary>Decodes token by token for a stream: never half a character.</summary>
    public DecodeStream DecodeStream(bool skipSpecialTokens = true) => new(this, skipSpecialTokens);

    /// <summary>The token of an id, or null.</summary>
    public string? IdToToken(int id) => added.Token(id) ?? model.Vocabulary.Token(id);

    /// <summary>The id of a token, or null.</summary>
    public int? TokenToId(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return added.Id(token) ?? (model.Vocabulary.Id(token) is >= 0 and var id ? id : null);
    }

    /// <summary>How many tokens the post-processor adds to a single text or to a pair.</summary>
    public int SpecialTokensToAdd(bool pair) => postProcessor?.AddedTokens(pair) ?? 0;

    // As much of the texts as decides what is kept of them at the left: one token more than that says that something is cut, and which one it is does not matter.
    private void FillEnough(EncodeWorkspace room, string text, string? pair, int maxLength, TruncationStrategy strategy)
    {
        if (pair is null)
        {
            Fill(room, room.First, text, 0, normalizer, preTokenizer, strategy == TruncationStrategy.OnlySecond ? int.MaxValue : maxLength + 1);
            return;
        }

        // One side gives way: the other is read whole, and where it leaves no room the error tells the lengths of both.
        if (strategy != TruncationStrategy.LongestFirst)
        {
            var (row, kept) = strategy == TruncationStrategy.OnlyFirst ? (room.First, room.Second) : (room.Second, room.First);
            Fill(room, kept, kept == room.First ? text : pair, kept == room.First ? 0 : 1, normalizer, preTokenizer, int.MaxValue);
            Fill(room, row, row == room.First ? text : pair, row == room.First ? 0 : 1, normalizer, preTokenizer, kept.Count < maxLength ? maxLength - kept.Count + 1 : int.MaxValue);
            return;
        }

        Fill(room, room.First, text, 0, normalizer, preTokenizer, maxLength + 1);
        Fill(room, room.Second, pair, 1, normalizer, preTokenizer, maxLength + 1);
        if (maxLength % 2 == 1 && Math.Min(room.First.Count, room.Second.Count) > maxLength)
        {
            // Both lose tokens, and of an odd number the longer text keeps one more: it has to be known which that is.
            Fill(room, room.First, text, 0, normalizer, preTokenizer, int.MaxValue);
            Fill(room, room.Second, pair, 1, normalizer, preTokenizer, room.First.Count + 1);
        }
    }

    // Text to tokens: added tokens, normalizer, pre-tokenizer, model; the model's work ends after the piece that brings the row to enough tokens.
    private void Fill(EncodeWorkspace room, TokenRow row, string text, int typeId, Normalizer? normalizer, PreTokenizer? preTokenizer, int enough)
    {
        const int SectionLength = 1 << 14; // a long text has millions of pieces, which would take several times its memory
        var cancellation = room.Work!.Cancellation;
        row.Reset(text, typeId);
        var pieces = room.Pieces;
        pieces.Clear();
        cancellation.ThrowIfCancellationRequested();
        added.Extract(WellFormed.Of(text), normalizer, pieces);
        cancellation.ThrowIfCancellationRequested();
        if (preTokenizer?.EndsSection(' ') != true)
        {
            preTokenizer?.PreTokenize(pieces);
            Take(room, row, pieces, 0, enough);
            return;
        }

        var section = room.Section;
        var words = 0;
        for (var i = 0; i < pieces.Pieces.Length && row.Count < enough; i++)
        {
            var piece = pieces.Pieces[i];
            var span = piece.Span;
            for (var start = 0; start < span.Length && row.Count < enough;)
            {
                var end = piece.TokenId >= 0 ? span.Length : Math.Min(start + SectionLength, span.Length);
                while (end < span.Length && !preTokenizer.EndsSection(span[end - 1]))
                {
                    end++;
                }

                section.Clear();
                section.Add(piece with { Start = piece.Start + start, Length = end - start });
                preTokenizer.PreTokenize(section);
                Take(room, row, section, words, enough);
                words += section.Pieces.Length;
                start = end;
            }
        }
    }

    // The tokens of the pieces, of which the first is word number firstWord of the text.
    private void Take(EncodeWorkspace room, TokenRow row, PreTokenizedString pieces, int firstWord, int enough)
    {
        const int CharactersAtATime = 4096; // between two looks at the cancellation
        var work = room.Work!;
        var cancellation = work.Cancellation;
        var tokens = room.Tokens;
        var takesBytes = model.TakesBytes;
        var characters = 0;
        cancellation.ThrowIfCancellationRequested();
        for (var i = 0; i < pieces.Pieces.Length && row.Count < enough; i++)
        {
            var piece = pieces.Pieces[i];
            characters += piece.Length;
            if (characters >= CharactersAtATime)
            {
                cancellation.ThrowIfCancellationRequested();
                characters = 0;
            }

            if (piece.TokenId >= 0)
            {
                var (start, end) = piece.Text.OriginalSpan(piece.Start, piece.Start + piece.Length);
                row.Reserve(1);
                row.Add(piece.TokenId, start, end, firstWord + i);
                if (!piece.Span.SequenceEqual(added.Token(piece.TokenId)))
                {
                    row.SetSurface(piece.Span);
                }

                continue;
            }

            if (piece.ByteLevel && !takesBytes)
            {
                piece = pieces.Materialised(i);
            }

            tokens.Clear();
            var span = piece.Span;
            model.Tokenize(span, piece.ByteLevel, tokens);
            work.RequireTokens((long)row.Count + tokens.Count);
            row.Reserve(tokens.Count);
            var source = piece.Text;
            if (source.IsIdentity && !WellFormed.HasPairs(span))
            {
                var offset = source.OriginalOffset + piece.Start;
                foreach (ref readonly var token in tokens.Items)
                {
                    row.Add(token.Id, offset + token.Start, offset + token.End, firstWord + i);
                    if (token.Surface)
                    {
                        row.SetSurface(span[token.Start..token.End]);
                    }
                }

                continue;
            }

            foreach (ref readonly var token in tokens.Items)
            {
                var (start, end) = source.OriginalSpan(piece.Start + token.Start, piece.Start + token.End);
                row.Add(token.Id, start, end, firstWord + i);
                if (token.Surface)
                {
                    row.SetSurface(span[token.Start..token.End]);
                }
            }
        }
    }

    private void Check(Truncation truncation)
    {
        var effective = truncation.MaxLength - SpecialTokensToAdd(false);
        if (truncation.MaxLength < 0 || truncation.Stride < 0)
        {
            throw InferenceException.Unprocessable(Argument.Of(nameof(Truncation.MaxLength)), $"{Argument.Of(nameof(Truncation.MaxLength))} and {Argument.Of(nameof(Truncation.Stride))} must not be negative.");
        }

        if (effective >= 0 && effective < truncation.Stride)
        {
            throw InferenceException.Unprocessable(
                Argument.Of(nameof(Truncation.Stride)),
                $"{Argument.Of(nameof(Truncation.Stride))} is {truncation.Stride}; it must be less than the {effective} tokens that {Argument.Of(nameof(Truncation.MaxLength))} {truncation.MaxLength} leaves beside the special tokens; make it smaller.");
        }
    }

    private TokenEncoding Finish(EncodingBuilder draft, Padding? padding, int padTo) => EncodingWriter.Write(draft, padding, padTo, token, spaces);
}

/// <summary>A special token by its role.</summary>
public sealed record NamedToken(string Text, int Id);

/// <summary>The special tokens by their role; null where the folder names none.</summary>
public sealed record NamedTokens(NamedToken? Bos, NamedToken? Eos, NamedToken? Unk, NamedToken? Sep, NamedToken? Pad, NamedToken? Cls, NamedToken? Mask);
