namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>A Unicode normalisation form.</summary>
internal enum NormalizationForm
{
    /// <summary>Canonical decomposition.</summary>
    Nfd,

    /// <summary>Compatibility decomposition.</summary>
    Nfkd,

    /// <summary>Canonical decomposition, then composition.</summary>
    Nfc,

    /// <summary>Compatibility decomposition, then composition.</summary>
    Nfkc,
}

/// <summary>
/// NFC, NFD, NFKC and NFKD (Unicode Standard Annex 15) over the tables of Unicode 11, with the alignment of the reference's
/// crate: of a decomposed character the first part replaces it and the others are inserted after it; a composed one replaces
/// its first part and swallows the others.
/// </summary>
internal sealed class UnicodeNormalization
{
    private const int HangulFirst = 0xAC00, HangulLast = 0xD7A3, LeadFirst = 0x1100, VowelFirst = 0x1161, TrailBase = 0x11A7;
    private const int LeadCount = 19, VowelCount = 21, TrailCount = 28;

    private static readonly Lazy<byte[]?[]> Classes = new(ReadClasses);
    private static readonly Lazy<Dictionary<long, int>> Compositions = new(ReadCompositions);
    private static readonly Lazy<Decompositions> Canonical = new(static () => new Decompositions("nfd"));
    private static readonly Lazy<Decompositions> Compatible = new(static () => new Decompositions("nfkd", "nfd"));
    private static readonly Lazy<UnicodeNormalization>[] Forms =
    [
        .. Enum.GetValues<NormalizationForm>().Select(static form => new Lazy<UnicodeNormalization>(() => new UnicodeNormalization(form))),
    ];

    private readonly bool composes;
    private readonly Decompositions decompositions;
    private readonly CodePointSet unstable; // what may change, move or join with the character before

    private UnicodeNormalization(NormalizationForm form)
    {
        composes = form is NormalizationForm.Nfc or NormalizationForm.Nfkc;
        decompositions = form is NormalizationForm.Nfkd or NormalizationForm.Nfkc ? Compatible.Value : Canonical.Value;
        unstable = new CodePointSet(FindUnstable());
    }

    /// <summary>The normalisation of a form.</summary>
    public static UnicodeNormalization Of(NormalizationForm form) => Forms[(int)form].Value;

    /// <summary>Canonical combining class, 0 for a starter.</summary>
    public static int CombiningClass(int c) => c < 0x300 ? 0 : Classes.Value[c >> 8] is { } block ? block[c & 255] : 0;

    /// <summary>Brings the text into the form.</summary>
    public void Normalize(NormalizedString text)
    {
        var chars = text.Text;
        var first = FirstUnstable(chars, 0, out var starter);
        if (first < 0)
        {
            return;
        }

        var rewriter = text.Rewrite();
        var segment = new List<Part>();
        var copied = 0;
        while (first >= 0)
        {
            // A composition reaches back to the starter before; nothing reaches over a stable character.
            var start = composes ? starter : first;
            var end = first;
            while (end < chars.Length)
            {
                var next = end;
                if (!unstable.Contains(CodePoints.Next(chars, ref next)))
                {
                    break;
                }

                end = next;
            }

            rewriter.Copy(copied, start - copied);
            segment.Clear();
            for (var i = start; i < end;)
            {
                Decompose(CodePoints.Next(chars, ref i), segment);
            }

            Order(segment);
            if (composes)
            {
                Compose(segment);
            }

            Write(rewriter, chars, start, segment);
            copied = end;
            first = FirstUnstable(chars, end, out starter);
        }

        rewriter.Copy(copied, chars.Length - copied);
        rewriter.Commit();
    }

    /// <summary>Writes characters with their changes as the reference's <c>transform</c>: a change of 0 replaces the next old character, -n swallows n more, 1 is an insertion.</summary>
    internal static void Write(NormalizedString.Rewriter rewriter, ReadOnlySpan<char> old, int at, List<Part> parts)
    {
        Span<char> units = stackalloc char[2];
        foreach (var part in parts)
        {
            var count = CodePoints.Write(part.CodePoint, units);
            if (part.Change > 0)
            {
                rewriter.Insert(units[..count], at);
                continue;
            }

            rewriter.Append(units[..count], at);
            for (var eaten = 0; eaten <= -part.Change && at < old.Length; eaten++)
            {
                CodePoints.Next(old, ref at);
            }
        }
    }

    private int FirstUnstable(ReadOnlySpan<char> chars, int from, out int starter)
    {
        starter = from;
        var i = from;
        while (i < chars.Length)
        {
            if (chars[i] < 0x80)
            {
                var ascii = chars[i..].IndexOfAnyExceptInRange('\0', '\x7F');
                i = ascii < 0 ? chars.Length : i + ascii;
                starter = i - 1;
                continue;
            }

            var next = i;
            if (unstable.Contains(CodePoints.Next(chars, ref next)))
            {
                return i;
            }

            starter = i;
            i = next;
        }

        return -1;
    }

    private void Decompose(int c, List<Part> parts)
    {
        if (c is >= HangulFirst and <= HangulLast)
        {
            var index = c - HangulFirst;
            parts.Add(new Part(LeadFirst + (index / (VowelCount * TrailCount)), 0, 0));
            parts.Add(new Part(VowelFirst + (index % (VowelCount * TrailCount) / TrailCount), 0, 1));
            if (index % TrailCount is not 0 and var trail)
            {
                parts.Add(new Part(TrailBase + trail, 0, 1));
            }

            return;
        }

        var decomposition = decompositions.Of(c);
        if (decomposition.IsEmpty)
        {
            parts.Add(new Part(c, CombiningClass(c), 0));
            return;
        }

        for (var i = 0; i < decomposition.Length; i++)
        {
            parts.Add(new Part(decomposition[i], CombiningClass(decomposition[i]), i == 0 ? 0 : 1));
        }
    }

    // Canonical ordering: every run of non-starters by class, stably.
    private static void Order(List<Part> parts)
    {
        for (var i = 0; i < parts.Count; i++)
        {
            if (parts[i].Class == 0)
            {
                continue;
            }

            var start = i;
            var sorted = true;
            for (i++; i < parts.Count && parts[i].Class != 0; i++)
            {
                sorted &= parts[i].Class >= parts[i - 1].Class;
            }

            if (!sorted)
            {
                var run = parts.GetRange(start, i - start).OrderBy(static p => p.Class).ToList(); // a stable sort
                for (var k = 0; k < run.Count; k++)
                {
                    parts[start + k] = run[k];
                }
            }
        }
    }

    private static void Compose(List<Part> parts)
    {
        var write = 0;
        var starter = -1;
        var lastClass = -1; // class of the last part kept behind the starter, -1: none
        for (var read = 0; read < parts.Count; read++)
        {
            var part = parts[read];
            if (starter >= 0 && (lastClass < 0 || lastClass < part.Class) && TryCompose(parts[starter].CodePoint, part.CodePoint, out var composed))
            {
                parts[starter] = new Part(composed, 0, parts[starter].Change + part.Change - 1);
                continue;
            }

            if (part.Class == 0)
            {
                starter = write;
                lastClass = -1;
            }
            else
            {
                lastClass = part.Class;
            }

            parts[write++] = part;
        }

        parts.RemoveRange(write, parts.Count - write);
    }

    private static bool TryCompose(int a, int b, out int composed)
    {
        if ((uint)(a - LeadFirst) < LeadCount && (uint)(b - VowelFirst) < VowelCount)
        {
            composed = HangulFirst + ((((a - LeadFirst) * VowelCount) + b - VowelFirst) * TrailCount);
            return true;
        }

        if (a is >= HangulFirst and <= HangulLast && (a - HangulFirst) % TrailCount == 0 && b > TrailBase && b < TrailBase + TrailCount)
        {
            composed = a + b - TrailBase;
            return true;
        }

        return Compositions.Value.TryGetValue(((long)a << 32) | (uint)b, out composed);
    }

    private CodePointRanges FindUnstable()
    {
        var ranges = new List<(int, int)>();
        foreach (var (first, last, value) in UnicodeData.Runs("ccc"))
        {
            if (value != 0)
            {
                ranges.Add((first, last));
            }
        }

        var parts = new List<Part>();
        foreach (var c in decompositions.CodePoints())
        {
            if (composes)
            {
                parts.Clear();
                Decompose(c, parts);
                Compose(parts);
                if (parts.Count == 1 && parts[0].CodePoint == c)
                {
                    continue;
                }
            }

            ranges.Add((c, c));
        }

        if (composes)
        {
            ranges.AddRange(Compositions.Value.Keys.Select(static pair => ((int)pair, (int)pair)));
            ranges.Add((VowelFirst, VowelFirst + VowelCount - 1));
            ranges.Add((TrailBase + 1, TrailBase + TrailCount - 1));
        }
        else
        {
            ranges.Add((HangulFirst, HangulLast));
        }

        return CodePointRanges.FromUnsorted(ranges);
    }

    private static byte[]?[] ReadClasses()
    {
        var classes = new byte[]?[CodePointRanges.Limit >> 8];
        foreach (var (first, last, value) in UnicodeData.Runs("ccc"))
        {
            for (var c = first; c <= last && value != 0; c++)
            {
                (classes[c >> 8] ??= new byte[256])[c & 255] = (byte)value;
            }
        }

        return classes;
    }

    private static Dictionary<long, int> ReadCompositions()
    {
        var section = UnicodeData.Open("compose");
        var count = section.Next();
        var pairs = new Dictionary<long, int>(count);
        for (var first = 0; count > 0; count--)
        {
            first += section.Next();
            var second = section.Next();
            pairs[((long)first << 32) | (uint)second] = first + section.NextSigned();
        }

        return pairs;
    }

    /// <summary>A character on its way, with the reference's change.</summary>
    internal readonly record struct Part(int CodePoint, int Class, int Change);

    private sealed class Decompositions
    {
        private readonly int[]?[] offsets = new int[]?[CodePointRanges.Limit >> 8]; // into parts; 0: none
        private readonly int[] parts;

        public Decompositions(params string[] sections)
        {
            var all = new List<int> { 0 };
            foreach (var name in sections)
            {
                var section = UnicodeData.Open(name);
                var c = 0;
                for (var count = section.Next(); count > 0; count--)
                {
                    c += section.Next();
                    ref var place = ref (offsets[c >> 8] ??= new int[256])[c & 255];
                    place = place == 0 ? all.Count : place; // the compatibility mapping comes first and wins
                    var length = section.Next();
                    all.Add(length);
                    for (; length > 0; length--)
                    {
                        all.Add(c + section.NextSigned());
                    }
                }
            }

            parts = [.. all];
        }

        public ReadOnlySpan<int> Of(int c) =>
            offsets[c >> 8] is { } block && block[c & 255] is not 0 and var at ? parts.AsSpan(at + 1, parts[at]) : [];

        public IEnumerable<int> CodePoints()
        {
            for (var block = 0; block < offsets.Length; block++)
            {
                for (var i = 0; i < 256 && offsets[block] is { } places; i++)
                {
                    if (places[i] != 0)
                    {
                        yield return (block << 8) + i;
                    }
                }
            }
        }
    }
}
