using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>Digits</c>: sets numeric characters (Nd, Nl, No) apart, one by one or in runs.</summary>
internal sealed class Digits(bool individual) : PreTokenizer
{
    private static readonly PieceSplitter Individual = static (piece, sink) => Split(piece, sink, individual: true);
    private static readonly PieceSplitter Runs = static (piece, sink) => Split(piece, sink, individual: false);

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text) => text.Split(individual ? Individual : Runs);

    private static void Split(ReadOnlySpan<char> piece, PieceSink sink, bool individual)
    {
        var start = 0;
        var last = false;
        for (var i = 0; i < piece.Length;)
        {
            var from = i;
            var numeric = CharacterClasses.IsNumeric(CodePoints.Next(piece, ref i));
            if (numeric != last || (numeric && individual))
            {
                sink.Add(start, from);
                start = from;
                last = numeric;
            }
        }

        sink.Add(start, piece.Length);
    }
}
