using System.Text;

namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>
/// The Unicode tables of the reference (Hugging Face tokenizers 0.22), which mixes versions of Unicode and therefore agrees
/// neither with ICU nor with the tables of .NET. They lie in the embedded file <c>unicode.bin</c>; a section is decoded when
/// it is first asked for.
/// </summary>
/// <remarks>
/// Sections and where they come from: <c>nfd</c>, <c>nfkd</c>, <c>ccc</c>, <c>compose</c>: Unicode 11 (decompositions are
/// stored in full). <c>lower</c>, <c>rust.numeric</c>: Unicode 17. <c>gc</c>, <c>sc</c>, <c>bin.*</c>, <c>onig.word</c>,
/// <c>rust.word</c>, <c>fold</c>: Unicode 16. <c>bert.punctuation</c> and <c>bert.nonspacing</c>: about Unicode 8;
/// <c>bert.control</c>, <c>mark</c> and <c>legacy.sc</c>: about Unicode 10; these five as the reference shows them, code
/// point by code point.
/// Layout: number of sections; name and length of each; the sections. Numbers are LEB128; ranges are (gap, length - 1) pairs.
/// </remarks>
internal static class UnicodeData
{
    private static readonly Lazy<(byte[] Bytes, Dictionary<string, (int Start, int Length)> Sections)> Tables = new(Read);

    /// <summary>A reader at the start of a section.</summary>
    public static Section Open(string name)
    {
        var (bytes, sections) = Tables.Value;
        return new Section(bytes, sections[name].Start);
    }

    /// <summary>Whether there is such a section.</summary>
    public static bool Has(string name) => Tables.Value.Sections.ContainsKey(name);

    /// <summary>The ranges of a section that holds a set, as pairs of first and last code point.</summary>
    public static CodePointRanges Ranges(string name)
    {
        var section = Open(name);
        var count = section.Next();
        var bounds = new int[count * 2];
        var at = 0;
        for (var i = 0; i < count; i++)
        {
            bounds[i * 2] = at += section.Next();
            bounds[(i * 2) + 1] = at += section.Next();
            at++;
        }

        return CodePointRanges.FromSorted(bounds);
    }

    /// <summary>The runs of a section that holds a value per code point.</summary>
    public static IEnumerable<(int First, int Last, int Value)> Runs(string name)
    {
        var section = Open(name);
        var at = 0;
        for (var count = section.Next(); count > 0; count--)
        {
            var length = section.Next();
            yield return (at, at + length - 1, section.Next());
            at += length;
        }
    }

    /// <summary>The lists of names of a section that holds names.</summary>
    public static string[][] Names(string name)
    {
        var section = Open(name);
        var lists = new string[section.Next()][];
        for (var i = 0; i < lists.Length; i++)
        {
            lists[i] = new string[section.Next()];
            for (var k = 0; k < lists[i].Length; k++)
            {
                lists[i][k] = section.Text();
            }
        }

        return lists;
    }

    private static (byte[] Bytes, Dictionary<string, (int Start, int Length)> Sections) Read()
    {
        using var stream = typeof(UnicodeData).Assembly.GetManifestResourceStream("unicode.bin")!;
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        var head = new Section(bytes, 0);
        var names = new (string Name, int Length)[head.Next()];
        for (var i = 0; i < names.Length; i++)
        {
            var name = head.Text();
            names[i] = (name, head.Next());
        }

        var sections = new Dictionary<string, (int, int)>(names.Length);
        var at = head.Position;
        foreach (var (name, length) in names)
        {
            sections[name] = (at, length);
            at += length;
        }

        return (bytes, sections);
    }

    /// <summary>Reads the numbers of a section one after the other.</summary>
    internal struct Section(byte[] bytes, int position)
    {
        /// <summary>Index of the next byte.</summary>
        public int Position { get; private set; } = position;

        /// <summary>The next unsigned number.</summary>
        public int Next()
        {
            var value = 0;
            for (var shift = 0; ; shift += 7)
            {
                var b = bytes[Position++];
                value |= (b & 0x7F) << shift;
                if (b < 0x80)
                {
                    return value;
                }
            }
        }

        /// <summary>The next signed number (sign in the lowest bit).</summary>
        public int NextSigned()
        {
            var value = Next();
            return (value & 1) == 0 ? value >> 1 : -((value + 1) >> 1);
        }

        /// <summary>The next string.</summary>
        public string Text()
        {
            var length = Next();
            var text = Encoding.UTF8.GetString(bytes, Position, length);
            Position += length;
            return text;
        }
    }
}
