using System.Runtime.CompilerServices;
using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary>
/// <c>ByteLevel</c>: splits by GPT-2's pattern
/// <c>'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c> (a linear scan written by hand; the contractions
/// are those of lower case) and has the model see bytes.
/// </summary>
internal sealed class ByteLevel(bool addPrefixSpace, bool useRegex) : PreTokenizer
{
    private const byte Space = CharacterKinds.Space;

    private static readonly byte[] Classes = CharacterKinds.BasicPlane;
    private readonly Action<NormalizedString> prefix = static text =>
    {
        if (text.Text[0] != ' ')
        {
            text.Prepend(" ");
        }
    };

    private readonly PieceSplitter split = Split;

    /// <inheritdoc/>
    public override PreTokenizer WithoutSplitting => new ByteLevel(addPrefixSpace, useRegex: false);

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text)
    {
        if (addPrefixSpace)
        {
            text.Rewrite(prefix);
        }

        if (useRegex)
        {
            text.Split(split);
        }

        text.MarkByteLevel();
    }

    private static void Split(ReadOnlySpan<char> text, PieceSink sink)
    {
        var classes = Classes;
        var at = 0;
        while (at < text.Length)
        {
            var start = at;
            var c = text[at];
            var kind = ClassAt(classes, text, at);
            if (kind == Space)
            {
                var end = at + 1;
                while (end < text.Length && classes[text[end]] == Space)
                {
                    end++;
                }

                if (end == text.Length)
                {
                    sink.Add(start, end);
                    return;
                }

                // The last space stays for the next piece if it is a blank; any other one stands alone.
                if (end - start > 1)
                {
                    sink.Add(start, end - 1);
                    start = end - 1;
                    c = text[start];
                }

                if (c != ' ')
                {
                    sink.Add(start, end);
                    at = end;
                    continue;
                }

                at = end;
                kind = ClassAt(classes, text, at);
            }
            else if (c == '\'' && Contraction(text[at..]) is > 0 and var length)
            {
                at += length;
                sink.Add(start, at);
                continue;
            }

            do
            {
                at += char.IsHighSurrogate(text[at]) && at + 1 < text.Length ? 2 : 1;
            }
            while (at < text.Length && ClassAt(classes, text, at) == kind);

            sink.Add(start, at);
        }
    }

    private static int Contraction(ReadOnlySpan<char> text)
    {
        if (text.Length < 2)
        {
            return 0;
        }

        switch (text[1])
        {
            case 's' or 't' or 'm' or 'd':
                return 2;
            case 'r' or 'v':
                return text.Length > 2 && text[2] == 'e' ? 3 : 0;
            case 'l':
                return text.Length > 2 && text[2] == 'l' ? 3 : 0;
            default:
                return 0;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte ClassAt(byte[] classes, ReadOnlySpan<char> text, int at)
    {
        var c = text[at];
        return char.IsHighSurrogate(c) && at + 1 < text.Length ? CharacterKinds.OfSupplementary(char.ConvertToUtf32(c, text[at + 1])) : classes[c];
    }
}
