using System.Runtime.CompilerServices;
using System.Text;

namespace InferenceServer.Engine.Tokenization;

/// <summary>The stretch of the original text that a character comes from, in UTF-16 units.</summary>
internal readonly record struct Alignment(int Start, int End);

/// <summary>
/// A text under normalisation: UTF-16 units, each with the span of the original text that it stands for. As long as nothing
/// moved (<see cref="IsIdentity"/>) no alignment is stored: unit i stands for original unit <c>OriginalOffset + i</c>.
/// The semantics are those of the reference's <c>NormalizedString</c> (Hugging Face tokenizers 0.22), in UTF-16 instead of UTF-8:
/// both units of a surrogate pair carry the span of the pair. The text never holds a lone surrogate.
/// Reused from call to call: not thread-safe, buffers stay.
/// </summary>
internal sealed class NormalizedString
{
    private char[] chars = new char[32];
    private Alignment[] alignments = [];
    private int length;
    private bool aligned;

    private char[] spareChars = [];
    private Alignment[] spareAlignments = [];
    private int spareLength;
    private bool spareAligned;

    /// <summary>An empty text.</summary>
    public NormalizedString()
    {
    }

    /// <summary>A text that stands for itself.</summary>
    public NormalizedString(ReadOnlySpan<char> original) => Reset(original);

    /// <summary>The text as it is now.</summary>
    public ReadOnlySpan<char> Text => chars.AsSpan(0, length);

    /// <summary>Number of UTF-16 units.</summary>
    public int Length => length;

    /// <summary>True while every unit stands for the unit at its own place (plus <see cref="OriginalOffset"/>).</summary>
    public bool IsIdentity => !aligned;

    /// <summary>Where in the original text this text started.</summary>
    public int OriginalOffset { get; private set; }

    /// <summary>
    /// The units, to be changed one for one in place (a BMP character for a BMP character): the alignment stays as it is.
    /// </summary>
    public Span<char> Chars => chars.AsSpan(0, length);

    /// <summary>Starts anew with a slice of the original text at <paramref name="originalOffset"/>.</summary>
    public void Reset(ReadOnlySpan<char> original, int originalOffset = 0)
    {
        if (chars.Length < original.Length)
        {
            chars = new char[Grown(original.Length)];
        }

        original.CopyTo(chars);
        length = original.Length;
        aligned = false;
        OriginalOffset = originalOffset;
    }

    /// <summary>Starts anew with a slice of another text, its alignment kept.</summary>
    public void Reset(NormalizedString source, int start, int count)
    {
        Reset(source.Text.Slice(start, count), source.OriginalOffset + start);
        if (source.aligned)
        {
            Grow(ref alignments, count);
            source.alignments.AsSpan(start, count).CopyTo(alignments);
            aligned = true;
            Rebase();
        }
    }

    /// <summary>Lets the text start where its first unit does: what was removed in front of it is no longer part of it. Normalisation ends so.</summary>
    public void Rebase()
    {
        if (aligned && length > 0)
        {
            OriginalOffset = alignments[0].Start;
        }
    }

    /// <summary>The span of the original that unit <paramref name="index"/> stands for.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Alignment AlignmentAt(int index)
    {
        if (aligned)
        {
            return alignments[index];
        }

        var c = chars[index];
        return (c & 0xF800) != 0xD800
            ? new Alignment(OriginalOffset + index, OriginalOffset + index + 1)
            : char.IsHighSurrogate(c)
                ? new Alignment(OriginalOffset + index, OriginalOffset + index + 2)
                : new Alignment(OriginalOffset + index - 1, OriginalOffset + index + 1);
    }

    /// <summary>The span of the original that the units <c>[start, end)</c> stand for: start of the first, end of the last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public (int Start, int End) OriginalSpan(int start, int end)
    {
        if (start >= end)
        {
            var at = start < length ? AlignmentAt(start).Start : length > 0 ? AlignmentAt(length - 1).End : OriginalOffset;
            return (at, at);
        }

        return (AlignmentAt(start).Start, AlignmentAt(end - 1).End);
    }

    /// <summary>Starts a rewrite from the first unit to the last. Nothing changes until <see cref="Rewriter.Commit"/>.</summary>
    public Rewriter Rewrite()
    {
        spareLength = 0;
        spareAligned = aligned;
        Grow(ref spareChars, length);
        if (aligned)
        {
            Grow(ref spareAlignments, length);
        }

        return new Rewriter(this);
    }

    /// <summary>Drops all but the units <c>[start, end)</c>.</summary>
    public void Keep(int start, int end)
    {
        if (start == 0 && end == length)
        {
            return;
        }

        if (start == 0)
        {
            length = end;
            return;
        }

        var rewriter = Rewrite();
        rewriter.Copy(start, end - start);
        rewriter.Commit();
    }

    /// <summary>Puts <paramref name="content"/> in front, standing for the first character; an empty text stays empty.</summary>
    public void Prepend(ReadOnlySpan<char> content)
    {
        if (length == 0 || content.Length == 0)
        {
            return;
        }

        var rewriter = Rewrite();
        rewriter.Append(content, 0);
        rewriter.Copy(0, length);
        rewriter.Commit();
    }

    /// <summary>Replaces every non-overlapping occurrence of <paramref name="pattern"/>; what is put in stands for the last character of the match. An empty pattern changes nothing.</summary>
    public void Replace(ReadOnlySpan<char> pattern, ReadOnlySpan<char> content)
    {
        if (pattern.Length == 0)
        {
            return;
        }

        if (pattern.Length == 1 && content.Length == 1 && !char.IsSurrogate(pattern[0]) && !char.IsSurrogate(content[0]))
        {
            Chars.Replace(pattern[0], content[0]);
            return;
        }

        var next = Text.IndexOf(pattern);
        if (next < 0)
        {
            return;
        }

        var rewriter = Rewrite();
        var at = 0;
        while (next >= 0)
        {
            rewriter.Copy(at, next);
            at += next + pattern.Length;
            rewriter.Insert(content, at);
            next = Text[at..].IndexOf(pattern);
        }

        rewriter.Copy(at, length - at);
        rewriter.Commit();
    }

    /// <inheritdoc/>
    public override string ToString() => Text.ToString();

    private static int Grown(int wanted) => (int)Math.Min(Array.MaxLength, Math.Max(wanted, 32L) * 5 / 4);

    private static void Grow<T>(ref T[] array, int wanted)
    {
        if (array.Length < wanted)
        {
            Array.Resize(ref array, Grown(wanted));
        }
    }

    /// <summary>Builds the new text of a <see cref="NormalizedString"/> out of the old one, front to back.</summary>
    public readonly ref struct Rewriter
    {
        private readonly NormalizedString text;

        internal Rewriter(NormalizedString text) => this.text = text;

        /// <summary>Number of units written so far.</summary>
        public int Length => text.spareLength;

        /// <summary>Keeps the old units <c>[start, start + count)</c> with their alignment.</summary>
        public void Copy(int start, int count)
        {
            if (count <= 0)
            {
                return;
            }

            var at = text.spareLength;
            if (!text.spareAligned && start != at)
            {
                StoreAlignments();
            }

            Reserve(count);
            text.chars.AsSpan(start, count).CopyTo(text.spareChars.AsSpan(at));
            if (text.spareAligned)
            {
                if (text.aligned)
                {
                    text.alignments.AsSpan(start, count).CopyTo(text.spareAlignments.AsSpan(at));
                }
                else
                {
                    for (var i = 0; i < count; i++)
                    {
                        text.spareAlignments[at + i] = text.AlignmentAt(start + i);
                    }
                }
            }

            text.spareLength = at + count;
        }

        /// <summary>Writes <paramref name="content"/>, all of it standing for what the old unit <paramref name="index"/> stands for (a change of that character; the reference's change 0 and the positive ones after it).</summary>
        public void Append(ReadOnlySpan<char> content, int index)
        {
            if (content.Length > 0)
            {
                Write(content, text.AlignmentAt(index), index);
            }
        }

        /// <summary>Writes one scalar in the place of the old unit <paramref name="index"/>.</summary>
        public void Append(Rune rune, int index)
        {
            Span<char> units = stackalloc char[2];
            Append(units[..rune.EncodeToUtf16(units)], index);
        }

        /// <summary>Writes <paramref name="content"/> as text inserted before the old unit <paramref name="index"/>: it stands for what the unit before stands for (the reference's positive change), at the very start for nothing.</summary>
        public void Insert(ReadOnlySpan<char> content, int index)
        {
            if (content.Length > 0)
            {
                Write(content, index < 1 ? new Alignment(text.OriginalOffset, text.OriginalOffset) : text.AlignmentAt(index - 1), -1);
            }
        }

        /// <summary>Makes what was written the text.</summary>
        public void Commit()
        {
            (text.chars, text.spareChars) = (text.spareChars, text.chars);
            (text.alignments, text.spareAlignments) = (text.spareAlignments, text.alignments);
            text.length = text.spareLength;
            text.aligned = text.spareAligned;
        }

        private void Write(ReadOnlySpan<char> content, Alignment alignment, int index)
        {
            var at = text.spareLength;
            if (!text.spareAligned && !(index == at && content.Length == 1 && alignment.End - alignment.Start == 1))
            {
                StoreAlignments();
            }

            Reserve(content.Length);
            content.CopyTo(text.spareChars.AsSpan(at));
            if (text.spareAligned)
            {
                text.spareAlignments.AsSpan(at, content.Length).Fill(alignment);
            }

            text.spareLength = at + content.Length;
        }

        private void Reserve(int count)
        {
            Grow(ref text.spareChars, text.spareLength + count);
            if (text.spareAligned)
            {
                Grow(ref text.spareAlignments, text.spareLength + count);
            }
        }

        // From here on the units no longer stand for themselves: write down what was implied so far.
        private void StoreAlignments()
        {
            Grow(ref text.spareAlignments, Math.Max(text.spareLength, text.length));
            for (var i = 0; i < text.spareLength; i++)
            {
                text.spareAlignments[i] = text.AlignmentAt(i);
            }

            text.spareAligned = true;
        }
    }
}
