using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>Punctuation</c>: splits at punctuation characters, with a behaviour.</summary>
internal sealed class Punctuation(SplitBehavior behavior) : PreTokenizer
{
    private static readonly MatchFinder Finder = Matches.OfClass(CharacterClasses.IsPunctuation);

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text) => text.Split(Finder, behavior);
}
