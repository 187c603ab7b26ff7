namespace InferenceServer.Engine.Tokenization;

/// <summary>The tokens of one sequence before special tokens: parallel lists. Reused from call to call: not thread-safe.</summary>
internal sealed class TokenRow
{
    private readonly List<(int Index, int From, int Length)> surfaces = []; // by rising index
    private char[] surfaceText = new char[64];
    private int surfaceLength;

    public int[] Ids = new int[256];
    public (int Start, int End)[] Offsets = new (int, int)[256];
    public int[] WordIds = new int[256];

    /// <summary>Number of tokens.</summary>
    public int Count { get; private set; }

    /// <summary>The original text.</summary>
    public string Text { get; private set; } = "";

    /// <summary>Segment that the tokens have before a post-processor says otherwise.</summary>
    public int TypeId { get; private set; }

    /// <summary>Starts anew.</summary>
    public void Reset(string text, int typeId)
    {
        Count = 0;
        surfaces.Clear();
        surfaceLength = 0;
        Text = text;
        TypeId = typeId;
    }

    /// <summary>Forgets the text and lets go of large buffers.</summary>
    public void Release()
    {
        const int Large = 1 << 16;
        Reset("", 0);
        if (Ids.Length > Large)
        {
            Ids = new int[256];
            Offsets = new (int, int)[256];
            WordIds = new int[256];
        }

        if (surfaceText.Length > Large || surfaces.Capacity > Large)
        {
            surfaceText = new char[64];
            surfaces.TrimExcess();
        }
    }

    /// <summary>Makes room for more tokens.</summary>
    public void Reserve(int more)
    {
        if (Count + more > Ids.Length)
        {
            var size = Math.Max(Count + more, Ids.Length * 2);
            Array.Resize(ref Ids, size);
            Array.Resize(ref Offsets, size);
            Array.Resize(ref WordIds, size);
        }
    }

    /// <summary>Appends a token; there must be room.</summary>
    public void Add(int id, int start, int end, int wordId)
    {
        var at = Count++;
        Ids[at] = id;
        Offsets[at] = (start, end);
        WordIds[at] = wordId;
    }

    /// <summary>Says that the string of the last token is <paramref name="surface"/>, not the vocabulary's.</summary>
    public void SetSurface(ReadOnlySpan<char> surface)
    {
        if (surfaceLength + surface.Length > surfaceText.Length)
        {
            Array.Resize(ref surfaceText, Math.Max(surfaceLength + surface.Length, surfaceText.Length * 2));
        }

        surface.CopyTo(surfaceText.AsSpan(surfaceLength));
        surfaces.Add((Count - 1, surfaceLength, surface.Length));
        surfaceLength += surface.Length;
    }

    /// <summary>Strings of tokens that are not the vocabulary's: places (of <paramref name="start"/> on, counted from there plus <paramref name="at"/>) and texts.</summary>
    public void CopySurfaces(int start, int count, int at, List<(int Index, string Text)> target)
    {
        for (var i = FirstSurface(start); i < surfaces.Count && surfaces[i].Index < start + count; i++)
        {
            var (index, from, length) = surfaces[i];
            target.Add((index - start + at, new string(surfaceText, from, length)));
        }
    }

    /// <summary>Gives the string of token <paramref name="index"/> where it is not the vocabulary's; else false.</summary>
    public bool TryGetSurface(int index, out ReadOnlySpan<char> surface)
    {
        var i = FirstSurface(index);
        var found = i < surfaces.Count && surfaces[i].Index == index;
        surface = found ? surfaceText.AsSpan(surfaces[i].From, surfaces[i].Length) : default;
        return found;
    }

    /// <summary>Whether any token has a string of its own.</summary>
    public bool HasSurfaces => surfaces.Count > 0;

    // The first surface at or after a token, by halving.
    private int FirstSurface(int index)
    {
        var (low, high) = (0, surfaces.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = surfaces[middle].Index < index ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}

/// <summary>A special token that a post-processor puts in.</summary>
internal sealed record TemplateToken(int Id, string Text);

/// <summary>
/// One removal of the spaces from offsets (<c>trim_offsets</c>). <paramref name="Base"/>: index of the segment's first token in
/// its encoding at that time; the first token is excused with <paramref name="AddPrefixSpace"/>.
/// </summary>
internal sealed record OffsetTrim(bool AddPrefixSpace, int Base, OffsetTrim? Before);

/// <summary>A stretch of a draft: tokens <c>[Start, Start + Count)</c> of a row, or one special token.</summary>
internal readonly record struct Segment(TokenRow? Row, int Start, int Count, TemplateToken? Special, int TypeId, byte SpecialMask, OffsetTrim? Trim);

/// <summary>
/// An encoding while post-processors work on it: stretches of the rows, nothing copied. The reference's <c>Encoding</c> with its
/// sequence ranges and its overflow.
/// </summary>
internal sealed class EncodingBuilder
{
    /// <summary>What it is made of, in order.</summary>
    public List<Segment> Segments { get; } = [];

    /// <summary>The pieces that truncation cut off.</summary>
    public IReadOnlyList<EncodingBuilder> Overflowing { get; set; } = [];

    /// <summary>Where each sequence lies: sequence, start, end.</summary>
    public List<(int Sequence, int Start, int End)> Ranges { get; } = [];

    /// <summary>Number of tokens.</summary>
    public int Length { get; private set; }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        Segments.Clear();
        Ranges.Clear();
        Overflowing = [];
        Length = 0;
    }

    /// <summary>A whole row, or a part of it.</summary>
    public static EncodingBuilder Of(TokenRow row, int start, int count)
    {
        var draft = EncodeWorkspace.Current.Draft();
        draft.Add(new Segment(row, start, count, null, row.TypeId, 0, null));
        return draft;
    }

    /// <summary>Special tokens.</summary>
    public static EncodingBuilder Of(IReadOnlyList<TemplateToken> tokens, int typeId)
    {
        var draft = EncodeWorkspace.Current.Draft();
        foreach (var token in tokens)
        {
            draft.Add(new Segment(null, 0, 1, token, typeId, 1, null));
        }

        return draft;
    }

    /// <summary>Appends a stretch.</summary>
    public void Add(Segment segment)
    {
        Segments.Add(segment);
        Length += segment.Count;
    }

    /// <summary>Gives all tokens a segment id; overflow keeps its own, as in the reference.</summary>
    public void SetTypeId(int typeId)
    {
        for (var i = 0; i < Segments.Count; i++)
        {
            Segments[i] = Segments[i] with { TypeId = typeId };
        }
    }

    /// <summary>Says that all tokens are of a sequence.</summary>
    public void SetSequence(int sequence) => SetRange(sequence, 0, Length);

    /// <summary>Says where a sequence lies.</summary>
    public void SetRange(int sequence, int start, int end)
    {
        for (var i = 0; i < Ranges.Count; i++)
        {
            if (Ranges[i].Sequence == sequence)
            {
                Ranges[i] = (sequence, start, end);
                return;
            }
        }

        Ranges.Add((sequence, start, end));
    }

    /// <summary>Removes the spaces at the ends of tokens from their offsets, in the overflow too.</summary>
    public void TrimOffsets(bool addPrefixSpace)
    {
        var at = 0;
        for (var i = 0; i < Segments.Count; i++)
        {
            var segment = Segments[i];
            if (segment.Row is not null)
            {
                Segments[i] = segment with { Trim = new OffsetTrim(addPrefixSpace, at - segment.Start, segment.Trim) };
            }

            at += segment.Count;
        }

        foreach (var overflow in Overflowing)
        {
            overflow.TrimOffsets(addPrefixSpace);
        }
    }

    /// <summary>A copy, its overflow included.</summary>
    public EncodingBuilder Clone()
    {
        var copy = EncodeWorkspace.Current.Draft();
        copy.Overflowing = Overflowing.Count == 0 ? [] : [.. Overflowing.Select(static o => o.Clone())];
        copy.Segments.AddRange(Segments);
        copy.Ranges.AddRange(Ranges);
        copy.Length = Length;
        return copy;
    }

    /// <summary>Joins drafts; the overflow is the product of the parts' pieces, in the reference's order.</summary>
    public static EncodingBuilder Merge(List<EncodingBuilder> drafts)
    {
        if (drafts.Count == 1)
        {
            return drafts[0];
        }

        var merged = EncodeWorkspace.Current.Draft();
        foreach (var draft in drafts)
        {
            merged.Append(draft);
        }

        return merged;
    }

    /// <summary>Appends another draft.</summary>
    public void Append(EncodingBuilder other)
    {
        if (Overflowing.Count > 0 || other.Overflowing.Count > 0)
        {
            var overflowing = new List<EncodingBuilder>();
            foreach (var own in Overflowing)
            {
                overflowing.Add(own.With(other));
                overflowing.AddRange(other.Overflowing.Select(own.With));
            }

            overflowing.AddRange(other.Overflowing.Select(With));
            Overflowing = overflowing;
        }

        AppendTokens(other);
    }

    /// <summary>Cuts to <paramref name="maxLength"/> tokens of the one row that the draft holds; what is cut off becomes overflow.</summary>
    public EncodingBuilder Truncate(int maxLength, int stride, Side direction)
    {
        var length = Length;
        if (maxLength >= length)
        {
            return this;
        }

        if (maxLength == 0)
        {
            var nothing = EncodeWorkspace.Current.Draft();
            nothing.Overflowing = [this];
            return nothing;
        }

        var row = Segments[0].Row!;
        var step = maxLength - stride;
        EncodingBuilder? first = null;
        var overflowing = new List<EncodingBuilder>();
        if (direction == Side.Right)
        {
            for (var start = 0; start < length; start += step)
            {
                var stop = Math.Min(start + maxLength, length);
                Take(start, stop);
                if (stop == length)
                {
                    break;
                }
            }
        }
        else
        {
            for (var stop = length; stop > 0; stop -= step)
            {
                var start = Math.Max(0, stop - maxLength);
                Take(start, stop);
                if (start == 0)
                {
                    break;
                }
            }
        }

        first!.Overflowing = overflowing;
        return first;

        void Take(int start, int stop)
        {
            var part = Of(row, start, stop - start);
            if (first is null)
            {
                first = part;
            }
            else
            {
                overflowing.Add(part);
            }
        }
    }

    /// <summary>A part of the one row that the draft holds.</summary>
    public EncodingBuilder Part(int start, int count) => Of(Segments[0].Row!, start, count);

    private EncodingBuilder With(EncodingBuilder other)
    {
        var joined = Clone();
        joined.Overflowing = [];
        joined.AppendTokens(other);
        return joined;
    }

    private void AppendTokens(EncodingBuilder other)
    {
        foreach (var (sequence, start, end) in other.Ranges)
        {
            SetRange(sequence, Length + start, Length + end);
        }

        Segments.AddRange(other.Segments);
        Length += other.Length;
    }
}
