using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>BertPreTokenizer</c>: splits at white space, which goes, and sets every punctuation character apart.</summary>
internal sealed class BertPreTokenizer : PreTokenizer
{
    /// <inheritdoc/>
    public override bool EndsSection(char c) => CharacterClasses.IsWhiteSpace(c) || (!char.IsSurrogate(c) && CharacterClasses.IsPunctuation(c));

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text) => text.Split(static (piece, sink) =>
    {
        var start = 0;
        for (var i = 0; i < piece.Length;)
        {
            var from = i;
            var c = CodePoints.Next(piece, ref i);
            var space = CharacterClasses.IsWhiteSpace(c);
            if (space || CharacterClasses.IsPunctuation(c))
            {
                sink.Add(start, from);
                if (!space)
                {
                    sink.Add(from, i);
                }

                start = i;
            }
        }

        sink.Add(start, piece.Length);
    });
}
