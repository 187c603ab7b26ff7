using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary>
/// <c>UnicodeScripts</c>: splits where the script changes. Hiragana and Katakana count as Han; the space and characters without a
/// script (unassigned in about Unicode 10) go with what surrounds them. Those in front of the first script are lost, as in
/// the reference.
/// </summary>
internal sealed class UnicodeScripts : PreTokenizer
{
    private static readonly Lazy<byte[]?[]> Scripts = new(ReadScripts);

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text) => text.Split(static (piece, sink) =>
    {
        var last = 0; // 0: none yet
        var start = -1;
        for (var i = 0; i < piece.Length;)
        {
            var from = i;
            var script = ScriptOf(CodePoints.Next(piece, ref i));
            if (script == 0 || script == last)
            {
                continue;
            }

            if (start >= 0)
            {
                sink.Add(start, from);
            }

            start = from;
            last = script;
        }

        if (start >= 0)
        {
            sink.Add(start, piece.Length);
        }
    });

    private static int ScriptOf(int c) => c == ' ' ? 0 : Scripts.Value[c >> 8] is { } block ? block[c & 255] : 0;

    private static byte[]?[] ReadScripts()
    {
        var scripts = new byte[]?[CodePointRanges.Limit >> 8];
        var han = 0;
        var kana = new HashSet<int>();
        var names = UnicodeData.Names("sc.names");
        for (var i = 0; i < names.Length; i++)
        {
            han = names[i].Contains("han") ? i : han;
            if (names[i].Contains("hiragana") || names[i].Contains("katakana"))
            {
                kana.Add(i);
            }
        }

        foreach (var (first, last, value) in UnicodeData.Runs("legacy.sc"))
        {
            for (var c = first; c <= last && value != 0; c++)
            {
                (scripts[c >> 8] ??= new byte[256])[c & 255] = (byte)(kana.Contains(value) ? han : value);
            }
        }

        return scripts;
    }
}
