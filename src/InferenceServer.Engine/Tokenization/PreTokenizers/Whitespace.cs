using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>Whitespace</c>: pieces are the matches of <c>\w+|[^\w\s]+</c>, by the classes of the Rust regex engine.</summary>
internal sealed class Whitespace : PreTokenizer
{
    /// <inheritdoc/>
    public override bool EndsSection(char c) => CharacterClasses.IsWhiteSpace(c);

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text) => text.Split(static (piece, sink) =>
    {
        var start = 0;
        var last = 0; // 0: space, 1: word, 2: neither
        for (var i = 0; i < piece.Length;)
        {
            var from = i;
            var c = CodePoints.Next(piece, ref i);
            var kind = CharacterClasses.IsWord(c) ? 1 : CharacterClasses.IsWhiteSpace(c) ? 0 : 2;
            if (kind != last)
            {
                if (last != 0)
                {
                    sink.Add(start, from);
                }

                start = from;
                last = kind;
            }
        }

        if (last != 0)
        {
            sink.Add(start, piece.Length);
        }
    });
}
