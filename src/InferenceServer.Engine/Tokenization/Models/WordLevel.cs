namespace InferenceServer.Engine.Tokenization.Models;

/// <summary><c>WordLevel</c>: a piece is a token or unknown.</summary>
internal sealed class WordLevel(Vocabulary vocabulary, string unknown = "<unk>") : TokenizerModel(vocabulary)
{
    private readonly int unknownId = vocabulary.Id(unknown);

    /// <inheritdoc/>
    public override void Tokenize(ReadOnlySpan<char> piece, bool byteLevel, TokenBuffer tokens)
    {
        var id = Vocabulary.Id(piece);
        if (id < 0)
        {
            id = unknownId >= 0 ? unknownId : throw WordPiece.Missing(unknown);
        }

        tokens.Add(new TokenItem(id, 0, piece.Length));
    }
}
