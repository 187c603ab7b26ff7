namespace InferenceServer.Engine.Tokenization.PostProcessors;

/// <summary><c>ByteLevel</c>: takes the spaces at the ends of tokens out of their offsets.</summary>
internal sealed class ByteLevel(bool trimOffsets, bool addPrefixSpace) : PostProcessor
{
    /// <inheritdoc/>
    public override int AddedTokens(bool pair) => 0;

    /// <inheritdoc/>
    public override bool TrimsOffsets => trimOffsets;

    /// <inheritdoc/>
    public override List<EncodingBuilder> Process(List<EncodingBuilder> drafts, bool addSpecialTokens)
    {
        for (var i = 0; i < drafts.Count; i++)
        {
            if (trimOffsets)
            {
                drafts[i].TrimOffsets(addPrefixSpace);
            }

            drafts[i].SetSequence(i);
        }

        return drafts;
    }
}
