namespace InferenceServer.Engine.Tokenization;

/// <summary>Writes a draft out as arrays: padding, offsets without spaces, token strings on demand.</summary>
internal static class EncodingWriter
{
    /// <summary>Writes the draft and its overflow; sequences shorter than <paramref name="padTo"/> are padded.</summary>
    public static TokenEncoding Write(EncodingBuilder draft, Padding? padding, int padTo, Func<int, string?> token, SpaceCounts? spaces)
    {
        var overflowing = draft.Overflowing.Count == 0
            ? (IReadOnlyList<TokenEncoding>)[]
            : draft.Overflowing.Select(o => One(o, padding, padTo, token, spaces, [])).ToArray();
        return One(draft, padding, padTo, token, spaces, overflowing);
    }

    private static TokenEncoding One(EncodingBuilder draft, Padding? padding, int padTo, Func<int, string?> token, SpaceCounts? spaces, IReadOnlyList<TokenEncoding> overflowing)
    {
        var pad = padding is null ? 0 : Math.Max(0, padTo - draft.Length);
        var length = draft.Length + pad;
        var before = padding?.Direction == Side.Left ? pad : 0;
        var ids = new int[length];
        var typeIds = new int[length];
        var offsets = new (int Start, int End)[length];
        var mask = new byte[length];
        var wordIds = new int[length];
        var sequenceIds = new sbyte[length];
        var attention = new byte[length];
        List<(int Index, string Text)>? strings = null;

        var at = before;
        foreach (var segment in draft.Segments)
        {
            typeIds.AsSpan(at, segment.Count).Fill(segment.TypeId);
            mask.AsSpan(at, segment.Count).Fill(segment.SpecialMask);
            if (segment.Row is { } row)
            {
                row.Ids.AsSpan(segment.Start, segment.Count).CopyTo(ids.AsSpan(at));
                row.Offsets.AsSpan(segment.Start, segment.Count).CopyTo(offsets.AsSpan(at));
                row.WordIds.AsSpan(segment.Start, segment.Count).CopyTo(wordIds.AsSpan(at));
                if (row.HasSurfaces)
                {
                    row.CopySurfaces(segment.Start, segment.Count, at, strings ??= []);
                }

                if (segment.Trim is not null)
                {
                    Trim(segment.Trim, row, segment, offsets.AsSpan(at, segment.Count), spaces!);
                }
            }
            else
            {
                ids[at] = segment.Special!.Id;
                wordIds[at] = -1;
                if (token(segment.Special.Id) != segment.Special.Text)
                {
                    (strings ??= []).Add((at, segment.Special.Text));
                }
            }

            at += segment.Count;
        }

        attention.AsSpan(before, draft.Length).Fill(1);
        sequenceIds.AsSpan().Fill(-1);
        Sequences(draft, before, sequenceIds);
        if (pad > 0)
        {
            var from = before > 0 ? 0 : draft.Length;
            ids.AsSpan(from, pad).Fill(padding!.PadId);
            typeIds.AsSpan(from, pad).Fill(padding.PadTypeId);
            mask.AsSpan(from, pad).Fill(1);
            wordIds.AsSpan(from, pad).Fill(-1);
            if (token(padding.PadId) != padding.PadToken)
            {
                strings ??= [];
                for (var i = 0; i < pad; i++)
                {
                    strings.Add((from + i, padding.PadToken));
                }
            }
        }

        return new TokenEncoding
        {
            Ids = ids,
            TypeIds = typeIds,
            Offsets = offsets,
            SpecialTokensMask = mask,
            WordIds = wordIds,
            SequenceIds = sequenceIds,
            AttentionMask = attention,
            Overflowing = overflowing,
            MakeTokens = () => Strings(ids, strings, token),
        };
    }

    // As the reference counts them: without any range the whole encoding is sequence 0.
    private static void Sequences(EncodingBuilder draft, int before, sbyte[] sequenceIds)
    {
        var count = Math.Max(1, draft.Ranges.Count);
        for (var sequence = 0; sequence < count; sequence++)
        {
            var found = false;
            foreach (var range in draft.Ranges)
            {
                if (range.Sequence == sequence)
                {
                    sequenceIds.AsSpan(before + range.Start, range.End - range.Start).Fill((sbyte)sequence);
                    found = true;
                }
            }

            if (!found)
            {
                sequenceIds.AsSpan().Fill((sbyte)sequence);
            }
        }
    }

    private static string[] Strings(int[] ids, List<(int Index, string Text)>? own, Func<int, string?> token)
    {
        var strings = new string[ids.Length];
        for (var i = 0; i < ids.Length; i++)
        {
            strings[i] = token(ids[i]) ?? "";
        }

        foreach (var (index, text) in own ?? [])
        {
            strings[index] = text;
        }

        return strings;
    }

    private static void Trim(OffsetTrim trim, TokenRow row, Segment segment, Span<(int Start, int End)> offsets, SpaceCounts spaces)
    {
        if (trim.Before is not null)
        {
            Trim(trim.Before, row, segment, offsets, spaces);
        }

        for (var i = 0; i < offsets.Length; i++)
        {
            var index = segment.Start + i;
            var (leading, trailing) = row.HasSurfaces && row.TryGetSurface(index, out var surface) ? SpaceCounts.Count(surface) : spaces.Of(row.Ids[index]);
            if (leading == 0 && trailing == 0)
            {
                continue;
            }

            var (start, end) = offsets[i];
            if (leading > 0)
            {
                // One space at the start is the one that was put in; several are the text's.
                if (leading == 1 && trim.AddPrefixSpace && (index + trim.Base == 0 || start == 0))
                {
                    leading = 0;
                }

                start = Math.Min(Forward(row.Text, start, leading), end);
            }

            if (trailing > 0)
            {
                end = Math.Max(Backward(row.Text, end, trailing) is >= 0 and var moved ? moved : end, start);
            }

            offsets[i] = (start, end);
        }
    }

    // The reference counts code points: steps over a surrogate pair are one.
    private static int Forward(string text, int at, int steps)
    {
        for (; steps > 0; steps--)
        {
            at += at + 1 < text.Length && char.IsHighSurrogate(text[at]) && char.IsLowSurrogate(text[at + 1]) ? 2 : 1;
        }

        return at;
    }

    private static int Backward(string text, int at, int steps)
    {
        for (; steps > 0; steps--)
        {
            at -= at >= 2 && at <= text.Length && char.IsLowSurrogate(text[at - 1]) && char.IsHighSurrogate(text[at - 2]) ? 2 : 1;
        }

        return at;
    }
}
