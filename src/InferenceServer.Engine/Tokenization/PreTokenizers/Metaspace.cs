using System.Text;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary>When Metaspace puts its replacement in front of a piece that does not begin with it.</summary>
internal enum PrependScheme
{
    /// <summary>Every piece, behind added tokens too.</summary>
    Always,

    /// <summary>Never.</summary>
    Never,

    /// <summary>Only at the very start of the text.</summary>
    First,
}

/// <summary><c>Metaspace</c>: writes spaces as <c>▁</c> (or another character), puts one in front, and splits before each.</summary>
internal sealed class Metaspace : PreTokenizer
{
    private readonly string replacement;
    private readonly PrependScheme scheme;
    private readonly bool split;
    private readonly Action<NormalizedString> rewrite;
    private readonly PieceSplitter splitter;

    /// <summary>Builds the part from its fields.</summary>
    public Metaspace(Rune replacement, PrependScheme scheme, bool split)
    {
        this.replacement = replacement.ToString();
        this.scheme = scheme;
        this.split = split;
        rewrite = Rewrite;
        splitter = SplitBefore;
    }

    /// <inheritdoc/>
    public override PreTokenizer WithoutSplitting => new Metaspace(Rune.GetRuneAt(replacement, 0), scheme, split: false);

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text)
    {
        text.Rewrite(rewrite);
        if (split)
        {
            text.Split(splitter);
        }
    }

    private void Rewrite(NormalizedString text)
    {
        text.Replace(" ", replacement);
        var prepend = scheme switch
        {
            PrependScheme.Always => true,
            PrependScheme.First => text.OriginalSpan(0, text.Length).Start == 0,
            _ => false,
        };
        if (prepend && !text.Text.StartsWith(replacement))
        {
            text.Prepend(replacement);
        }
    }

    private void SplitBefore(ReadOnlySpan<char> piece, PieceSink sink)
    {
        var start = 0;
        while (start < piece.Length)
        {
            // Every replacement begins a piece.
            var from = Math.Min(piece.Length, start + (piece[start..].StartsWith(replacement) ? replacement.Length : 1));
            var next = piece[from..].IndexOf(replacement, StringComparison.Ordinal);
            var end = next < 0 ? piece.Length : from + next;
            sink.Add(start, end);
            start = end;
        }
    }
}
