namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>Sequence</c>: one pre-tokenizer after the other.</summary>
internal sealed class Sequence(PreTokenizer[] preTokenizers) : PreTokenizer
{
    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedText text)
    {
        foreach (var preTokenizer in preTokenizers)
        {
            preTokenizer.PreTokenize(text);
        }
    }
}
