namespace InferenceServer.Engine.Tokenization.PostProcessors;

/// <summary><c>BertProcessing</c>: <c>[CLS] A [SEP] B [SEP]</c>, the second sequence with segment 1.</summary>
internal sealed class BertProcessing(TemplateToken sep, TemplateToken cls) : PostProcessor
{
    /// <inheritdoc/>
    public override int AddedTokens(bool pair) => pair ? 3 : 2;

    /// <inheritdoc/>
    public override List<EncodingBuilder> Process(List<EncodingBuilder> drafts, bool addSpecialTokens) => addSpecialTokens
        ? drafts.Select((draft, i) => Wrapping.Wrap(draft, i == 0 ? cls : null, sep, i == 0 ? 0 : 1, Math.Min(i, 1), keepTypeIds: true)).ToList()
        : drafts;
}
