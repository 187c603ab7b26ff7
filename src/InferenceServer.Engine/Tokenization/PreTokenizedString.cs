namespace InferenceServer.Engine.Tokenization;

/// <summary>What becomes of the matches of a split; names as in tokenizer.json.</summary>
internal enum SplitBehavior
{
    /// <summary>The match goes.</summary>
    Removed,

    /// <summary>The match is a piece.</summary>
    Isolated,

    /// <summary>The match ends the piece before.</summary>
    MergedWithPrevious,

    /// <summary>The match begins the piece after.</summary>
    MergedWithNext,

    /// <summary>Neighbouring matches are one piece.</summary>
    Contiguous,
}

/// <summary>A piece of text on its way to the model: a slice of a <see cref="NormalizedString"/>.</summary>
/// <param name="Text">Where it lies.</param>
/// <param name="Start">First unit.</param>
/// <param name="Length">Number of units.</param>
/// <param name="TokenId">Id when it is an added token (the model does not see it), else -1.</param>
/// <param name="ByteLevel">The model is to see the piece's UTF-8 bytes as byte-level symbols; the text still holds the characters.</param>
internal readonly record struct Piece(NormalizedString Text, int Start, int Length, int TokenId, bool ByteLevel)
{
    /// <summary>The units.</summary>
    public ReadOnlySpan<char> Span => Text.Text.Slice(Start, Length);

    /// <summary>Where the piece begins in the original text.</summary>
    public int OriginalStart => Text.OriginalSpan(Start, Start + Length).Start;
}

/// <summary>Takes the pieces that a splitter makes of one piece, as <c>[start, end)</c> within it. Empty ones are dropped.</summary>
internal delegate void PieceSplitter(ReadOnlySpan<char> piece, PieceSink sink);

/// <summary>Finds the matches in a piece, front to back, not overlapping; they may be empty.</summary>
internal delegate void MatchFinder(ReadOnlySpan<char> piece, MatchSink matches);

/// <summary>Where a <see cref="PieceSplitter"/> puts its pieces.</summary>
internal sealed class PieceSink(PreTokenizedString owner)
{
    internal Piece Source;

    /// <summary>Adds the piece <c>[start, end)</c>.</summary>
    public void Add(int start, int end)
    {
        if (end > start)
        {
            owner.Push(Source with { Start = Source.Start + start, Length = end - start });
        }
    }
}

/// <summary>Where a <see cref="MatchFinder"/> puts its matches.</summary>
internal sealed class MatchSink
{
    internal readonly List<(int Start, int End)> Matches = [];

    /// <summary>Adds the match <c>[start, end)</c>.</summary>
    public void Add(int start, int end) => Matches.Add((start, end));
}

/// <summary>
/// The pieces of a text, in order. Reused from call to call: not thread-safe.
/// </summary>
internal sealed class PreTokenizedString
{
    private readonly PieceSink sink;
    private readonly MatchSink matchSink = new();
    private readonly List<(int Start, int End, bool Match)> parts = [];
    private readonly List<NormalizedString> texts = [];
    private int textsUsed;
    private Piece[] pieces = new Piece[64];
    private Piece[] spare = new Piece[64];
    private int count;
    private int spareCount;

    /// <summary>No pieces.</summary>
    public PreTokenizedString() => sink = new PieceSink(this);

    /// <summary>The pieces.</summary>
    public ReadOnlySpan<Piece> Pieces => pieces.AsSpan(0, count);

    /// <summary>Forgets all pieces; buffers stay, unless they are large.</summary>
    public void Clear()
    {
        const int Large = 1 << 16;
        if (pieces.Length > Large || spare.Length > Large)
        {
            pieces = new Piece[64];
            spare = new Piece[64];
        }

        if (textsUsed > 1024 || texts.Exists(static t => t.Length > Large))
        {
            texts.Clear();
        }

        count = 0;
        textsUsed = 0;
    }

    /// <summary>An empty text whose buffers come from earlier calls.</summary>
    public NormalizedString NewText()
    {
        if (textsUsed == texts.Count)
        {
            texts.Add(new NormalizedString());
        }

        return texts[textsUsed++];
    }

    /// <summary>Appends a piece; empty ones are dropped.</summary>
    public void Add(Piece piece)
    {
        if (piece.Length == 0)
        {
            return;
        }

        if (count == pieces.Length)
        {
            Array.Resize(ref pieces, count * 2);
        }

        pieces[count++] = piece;
    }

    /// <summary>Replaces every piece that is no added token by the pieces that <paramref name="splitter"/> makes of it.</summary>
    public void Split(PieceSplitter splitter)
    {
        spareCount = 0;
        for (var i = 0; i < count; i++)
        {
            if (TryKeep(i))
            {
                continue;
            }

            sink.Source = Materialised(i);
            splitter(sink.Source.Span, sink);
        }

        Swap();
    }

    /// <summary>Splits every piece at the matches of <paramref name="finder"/>; <paramref name="invert"/>: what lies between the matches counts as match.</summary>
    public void Split(MatchFinder finder, SplitBehavior behavior, bool invert = false)
    {
        spareCount = 0;
        for (var i = 0; i < count; i++)
        {
            if (TryKeep(i))
            {
                continue;
            }

            sink.Source = Materialised(i);
            var span = sink.Source.Span;
            matchSink.Matches.Clear();
            finder(span, matchSink);
            Apply(span.Length, behavior, invert);
        }

        Swap();
    }

    /// <summary>Rewrites every piece that is no added token: the callback gets the piece as a text of its own, alignment kept.</summary>
    public void Rewrite(Action<NormalizedString> rewrite)
    {
        spareCount = 0;
        for (var i = 0; i < count; i++)
        {
            if (TryKeep(i))
            {
                continue;
            }

            var piece = Materialised(i);
            var own = piece.Text;
            if (piece.Start != 0 || piece.Length != own.Length)
            {
                own = NewText();
                own.Reset(piece.Text, piece.Start, piece.Length);
            }

            rewrite(own);
            if (own.Length > 0)
            {
                Push(new Piece(own, 0, own.Length, -1, false));
            }
        }

        Swap();
    }

    /// <summary>Marks all pieces that are no added tokens: the model sees their bytes.</summary>
    internal void MarkByteLevel()
    {
        for (var i = 0; i < count; i++)
        {
            if (pieces[i].TokenId < 0)
            {
                pieces[i] = Materialised(i) with { ByteLevel = true };
            }
        }
    }

    /// <summary>Piece <paramref name="index"/> with its byte-level symbols written out as characters.</summary>
    internal Piece Materialised(int index)
    {
        var piece = pieces[index];
        if (!piece.ByteLevel)
        {
            return piece;
        }

        var own = NewText();
        own.Reset(piece.Text, piece.Start, piece.Length);
        PreTokenizers.ByteSymbols.Rewrite(own);
        return pieces[index] = new Piece(own, 0, own.Length, -1, false);
    }

    internal void Push(Piece piece)
    {
        if (spareCount == spare.Length)
        {
            Array.Resize(ref spare, spareCount * 2);
        }

        spare[spareCount++] = piece;
    }

    // An added token goes on as it is.
    private bool TryKeep(int index)
    {
        if (pieces[index].TokenId < 0)
        {
            return false;
        }

        Push(pieces[index]);
        return true;
    }

    private void Swap()
    {
        (pieces, spare) = (spare, pieces);
        count = spareCount;
    }

    // The reference's NormalizedString::split: matches and what lies between them, then the behaviour.
    private void Apply(int length, SplitBehavior behavior, bool invert)
    {
        parts.Clear();
        var at = 0;
        foreach (var (start, end) in matchSink.Matches)
        {
            if (at != start)
            {
                parts.Add((at, start, invert));
            }

            parts.Add((start, end, !invert));
            at = end;
        }

        if (at != length)
        {
            parts.Add((at, length, invert));
        }

        switch (behavior)
        {
            case SplitBehavior.Removed:
                foreach (var (start, end, match) in parts)
                {
                    if (!match)
                    {
                        sink.Add(start, end);
                    }
                }

                break;
            case SplitBehavior.Isolated:
                foreach (var (start, end, _) in parts)
                {
                    sink.Add(start, end);
                }

                break;
            default:
                Merge(behavior);
                break;
        }
    }

    private void Merge(SplitBehavior behavior)
    {
        if (parts.Count == 0)
        {
            return;
        }

        if (behavior == SplitBehavior.MergedWithNext)
        {
            // From the back: a match takes the start of the piece after it, unless that was a match as well.
            var previous = false;
            var write = parts.Count;
            for (var i = parts.Count - 1; i >= 0; i--)
            {
                var (start, end, match) = parts[i];
                if (match && !previous && write < parts.Count)
                {
                    parts[write] = (start, parts[write].End, false);
                }
                else
                {
                    parts[--write] = (start, end, false);
                }

                previous = match;
            }

            for (var i = write; i < parts.Count; i++)
            {
                sink.Add(parts[i].Start, parts[i].End);
            }

            return;
        }

        var last = false;
        var open = (Start: 0, End: 0);
        var any = false;
        foreach (var (start, end, match) in parts)
        {
            var joins = behavior == SplitBehavior.Contiguous ? match == last : match && !last;
            if (any && joins)
            {
                open.End = end;
            }
            else
            {
                if (any)
                {
                    sink.Add(open.Start, open.End);
                }

                open = (start, end);
                any = true;
            }

            last = match;
        }

        sink.Add(open.Start, open.End);
    }
}
