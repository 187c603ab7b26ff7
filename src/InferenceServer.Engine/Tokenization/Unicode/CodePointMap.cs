namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>A map from code points to code points, most of which map to themselves. Immutable.</summary>
internal sealed class CodePointMap
{
    private readonly int[]?[] differences = new int[]?[CodePointRanges.Limit >> 8];

    private CodePointMap()
    {
    }

    /// <summary>What <paramref name="codePoint"/> maps to.</summary>
    public int this[int codePoint] => differences[codePoint >> 8] is { } block ? codePoint + block[codePoint & 255] : codePoint;

    /// <summary>Reads a section of <c>unicode.bin</c>: (distance to the entry before, signed difference).</summary>
    public static CodePointMap Read(string section)
    {
        var map = new CodePointMap();
        var reader = UnicodeData.Open(section);
        var at = 0;
        for (var count = reader.Next(); count > 0; count--)
        {
            at += reader.Next();
            (map.differences[at >> 8] ??= new int[256])[at & 255] = reader.NextSigned();
        }

        return map;
    }

    /// <summary>The entries that change something.</summary>
    public IEnumerable<(int From, int To)> Entries()
    {
        for (var block = 0; block < differences.Length; block++)
        {
            for (var i = 0; i < 256 && differences[block] is { } values; i++)
            {
                if (values[i] != 0)
                {
                    yield return ((block << 8) + i, (block << 8) + i + values[i]);
                }
            }
        }
    }
}
