using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>FixedLength</c>: pieces of so many characters; the last may be shorter.</summary>
internal sealed class FixedLength(int length) : PreTokenizer
{
    private readonly PieceSplitter splitter = (piece, sink) =>
    {
        var start = 0;
        var count = 0;
        for (var i = 0; i < piece.Length;)
        {
            CodePoints.Next(piece, ref i);
            if (++count == length)
            {
                sink.Add(start, i);
                start = i;
                count = 0;
            }
        }

        sink.Add(start, piece.Length);
    };

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text) => text.Split(splitter);
}
