using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>WhitespaceSplit</c>: splits at white space, which goes.</summary>
internal sealed class WhitespaceSplit : PreTokenizer
{
    /// <inheritdoc/>
    public override bool EndsSection(char c) => CharacterClasses.IsWhiteSpace(c);

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text) => text.Split(static (piece, sink) =>
    {
        var start = 0;
        for (var i = 0; i < piece.Length; i++)
        {
            if (CharacterClasses.IsWhiteSpace(piece[i]))
            {
                sink.Add(start, i);
                start = i + 1;
            }
        }

        sink.Add(start, piece.Length);
    });
}
