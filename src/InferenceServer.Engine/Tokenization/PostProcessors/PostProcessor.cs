namespace InferenceServer.Engine.Tokenization.PostProcessors;

/// <summary>A <c>post_processor</c> of tokenizer.json. Immutable and thread-safe.</summary>
internal abstract class PostProcessor
{
    /// <summary>How many tokens it adds to a single text or to a pair.</summary>
    public abstract int AddedTokens(bool pair);

    /// <summary>Whether it removes spaces from offsets.</summary>
    public virtual bool TrimsOffsets => false;

    /// <summary>
    /// How many encodings it makes of 1 or 2 (or of what a processor before it made); null where it takes no such number, which the reference crashes on.
    /// </summary>
    public virtual int? Results(int encodings, bool addSpecialTokens) => encodings;

    /// <summary>Works on the encodings of the sequences, and may change their number.</summary>
    public abstract List<EncodingBuilder> Process(List<EncodingBuilder> drafts, bool addSpecialTokens);

    /// <summary>The encoding of a text, or of a pair, as a processor (or none) leaves it.</summary>
    public static EncodingBuilder Run(PostProcessor? processor, EncodingBuilder first, EncodingBuilder? second, bool addSpecialTokens)
    {
        List<EncodingBuilder> drafts = second is null ? [first] : [first, second];
        for (var i = 0; i < drafts.Count; i++)
        {
            drafts[i].SetSequence(i);
            foreach (var overflow in drafts[i].Overflowing)
            {
                overflow.SetSequence(i);
            }

            drafts[i].SetTypeId(i);
        }

        return EncodingBuilder.Merge(processor?.Process(drafts, addSpecialTokens) ?? drafts);
    }
}
