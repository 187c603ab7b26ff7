using InferenceServer.Engine.Tokenization.Patterns;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>Split</c>: splits at the matches of a pattern, with a behaviour; inverted, what lies between them counts as match.</summary>
internal sealed class Split(Pattern pattern, SplitBehavior behavior, bool invert) : PreTokenizer
{
    private readonly MatchFinder finder = pattern.FindMatches;
    private readonly PieceSplitter? tiles = behavior == SplitBehavior.Isolated ? pattern.Tiles : null;

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text)
    {
        if (tiles is not null)
        {
            text.Split(tiles); // isolated, what matches and what does not is the same
        }
        else
        {
            text.Split(finder, behavior, invert);
        }
    }
}
