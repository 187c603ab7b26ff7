namespace InferenceServer.Engine.Tokenization.PostProcessors;

/// <summary><c>Sequence</c>: one after the other, each on what the one before made.</summary>
internal sealed class Sequence(IReadOnlyList<PostProcessor> processors) : PostProcessor
{
    /// <inheritdoc/>
    public override int AddedTokens(bool pair) => processors.Sum(p => p.AddedTokens(pair));

    /// <inheritdoc/>
    public override bool TrimsOffsets => processors.Any(static p => p.TrimsOffsets);

    /// <inheritdoc/>
    public override int? Results(int encodings, bool addSpecialTokens) =>
        processors.Aggregate((int?)encodings, (count, processor) => count is { } made ? processor.Results(made, addSpecialTokens) : null);

    /// <inheritdoc/>
    public override List<EncodingBuilder> Process(List<EncodingBuilder> drafts, bool addSpecialTokens)
    {
        foreach (var processor in processors)
        {
            drafts = processor.Process(drafts, addSpecialTokens);
        }

        return drafts;
    }
}
