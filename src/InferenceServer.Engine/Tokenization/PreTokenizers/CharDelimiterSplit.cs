using System.Text;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>CharDelimiterSplit</c>: splits at a character, which goes.</summary>
internal sealed class CharDelimiterSplit(Rune delimiter) : PreTokenizer
{
    private readonly MatchFinder finder = Matches.OfClass(c => c == delimiter.Value);

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text) => text.Split(finder, SplitBehavior.Removed);
}
