namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary><c>Sequence</c>: one pre-tokenizer after the other.</summary>
internal sealed class Sequence(PreTokenizer[] preTokenizers) : PreTokenizer
{
    /// <inheritdoc/>
    public override PreTokenizer? WithoutSplitting =>
        preTokenizers.Select(static p => p.WithoutSplitting).OfType<PreTokenizer>().ToArray() is { Length: > 0 } rest ? new Sequence(rest) : null;

    /// <inheritdoc/>
    public override void PreTokenize(PreTokenizedString text)
    {
        foreach (var preTokenizer in preTokenizers)
        {
            preTokenizer.PreTokenize(text);
        }
    }
}
