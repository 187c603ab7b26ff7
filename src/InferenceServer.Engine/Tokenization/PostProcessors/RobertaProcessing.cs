namespace InferenceServer.Engine.Tokenization.PostProcessors;

/// <summary><c>RobertaProcessing</c>: <c>&lt;s&gt; A &lt;/s&gt; &lt;/s&gt; B &lt;/s&gt;</c>, all with segment 0.</summary>
internal sealed class RobertaProcessing(TemplateToken sep, TemplateToken cls, bool trimOffsets, bool addPrefixSpace) : PostProcessor
{
    /// <inheritdoc/>
    public override int AddedTokens(bool pair) => pair ? 4 : 2;

    /// <inheritdoc/>
    public override bool TrimsOffsets => trimOffsets;

    /// <inheritdoc/>
    public override List<EncodingBuilder> Process(List<EncodingBuilder> drafts, bool addSpecialTokens)
    {
        foreach (var draft in drafts)
        {
            if (trimOffsets)
            {
                draft.TrimOffsets(addPrefixSpace);
            }

            draft.SetTypeId(0);
        }

        return addSpecialTokens
            ? drafts.Select((draft, i) => Wrapping.Wrap(draft, i == 0 ? cls : sep, sep, 0, Math.Min(i, 1))).ToList()
            : drafts;
    }
}
