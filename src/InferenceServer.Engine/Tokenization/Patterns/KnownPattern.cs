using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>
/// The pattern of cl100k, shared by Llama 3, Qwen and many others, recognised by its text and scanned by hand:
/// contractions in any case; letters with one character in front that is no letter, number or line end; up to so many
/// numbers; other characters with a space in front and line ends behind; white space up to its last line end; white space but
/// the last; white space.
/// </summary>
internal sealed class KnownPattern : Pattern
{
    private const string Before = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}";
    private const string After = @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private readonly int digits;

    private KnownPattern(int digits)
    {
        this.digits = digits;
        Tiles = Scan;
    }

    /// <inheritdoc/>
    public override PieceSplitter? Tiles { get; }

    /// <summary>The scanner of a known pattern, or null.</summary>
    public static KnownPattern? TryCreate(string regex) => regex switch
    {
        Before + "{1,3}" + After => new KnownPattern(3),
        Before + After => new KnownPattern(1),
        Before + "+" + After => new KnownPattern(int.MaxValue),
        _ => null,
    };

    /// <inheritdoc/>
    public override void FindMatches(ReadOnlySpan<char> text, MatchSink matches)
    {
        for (var at = 0; at < text.Length;)
        {
            var end = Next(text, at);
            matches.Add(at, end);
            at = end;
        }
    }

    private void Scan(ReadOnlySpan<char> text, PieceSink sink)
    {
        for (var at = 0; at < text.Length;)
        {
            var end = Next(text, at);
            sink.Add(at, end);
            at = end;
        }
    }

    private int Next(ReadOnlySpan<char> text, int at)
    {
        var kind = CharacterKinds.At(text, at);
        var behind = at + ((text[at] & 0xFC00) == 0xD800 && at + 1 < text.Length ? 2 : 1);
        switch (kind)
        {
            case CharacterKinds.Letter:
                return CharacterKinds.EndOfRun(text, behind, CharacterKinds.Letter);
            case CharacterKinds.Number:
                return CharacterKinds.EndOfRun(text, at, CharacterKinds.Number, digits);
        }

        var c = text[at];
        if (c == '\'' && Contraction(text[behind..]) is > 0 and var length)
        {
            return behind + length;
        }

        if (behind < text.Length && c is not ('\r' or '\n'))
        {
            var next = CharacterKinds.At(text, behind);
            if (next == CharacterKinds.Letter)
            {
                return CharacterKinds.EndOfRun(text, behind, CharacterKinds.Letter);
            }

            if (c == ' ' && next == CharacterKinds.Other)
            {
                kind = CharacterKinds.Other;
            }
        }

        if (kind == CharacterKinds.Other)
        {
            var end = CharacterKinds.EndOfRun(text, behind, CharacterKinds.Other);
            while (end < text.Length && text[end] is '\r' or '\n')
            {
                end++;
            }

            return end;
        }

        var spaces = CharacterKinds.EndOfRun(text, at, CharacterKinds.Space);
        if (text[at..spaces].LastIndexOfAny('\r', '\n') is >= 0 and var newline)
        {
            return at + newline + 1;
        }

        return spaces == text.Length || spaces - at == 1 ? spaces : spaces - 1;
    }

    private static int Contraction(ReadOnlySpan<char> text)
    {
        if (text.IsEmpty)
        {
            return 0;
        }

        var second = text.Length > 1 ? CaseMapping.Fold(text[1]) : 0;
        return CaseMapping.Fold(text[0]) switch
        {
            's' or 't' or 'm' or 'd' => 1,
            'r' or 'v' => second == 'e' ? 2 : 0,
            'l' => second == 'l' ? 2 : 0,
            _ => 0,
        };
    }
}
