namespace InferenceServer.Engine.Tokenization.PostProcessors;

/// <summary>A <c>post_processor</c> of tokenizer.json. Immutable and thread-safe.</summary>
internal abstract class PostProcessor
{
    /// <summary>How many tokens it adds to a single text or to a pair.</summary>
    public abstract int AddedTokens(bool pair);

    /// <summary>Whether it removes spaces from offsets.</summary>
    public virtual bool TrimsOffsets => false;

    /// <summary>Works on the encodings of the sequences, and may change their number.</summary>
    public abstract List<EncodingDraft> Process(List<EncodingDraft> drafts, bool addSpecialTokens);
}
