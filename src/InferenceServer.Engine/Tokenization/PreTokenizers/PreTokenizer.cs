namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary>A <c>pre_tokenizer</c> of tokenizer.json. Immutable and thread-safe; all state is in the text.</summary>
internal abstract class PreTokenizer
{
    /// <summary>Splits (and, for some types, rewrites) the pieces that are not added tokens.</summary>
    public abstract void PreTokenize(PreTokenizedString text);

    /// <summary>
    /// Whether a piece boundary stands behind this character wherever it stands, and pieces depend on nothing beyond their boundaries: a long text can then be split in sections. False where
    /// that is not known. Never true of half a surrogate pair.
    /// </summary>
    public virtual bool EndsSection(char c) => false;

    /// <summary>What is left without the splitting: how it writes the text (bytes, spaces); null when it only splits.</summary>
    public virtual PreTokenizer? WithoutSplitting => null;
}
