namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary>A <c>normalizer</c> of tokenizer.json. Immutable and thread-safe; all state is in the text.</summary>
internal abstract class Normalizer
{
    /// <summary>Rewrites the text in place, keeping the alignment with the original.</summary>
    public abstract void Normalize(NormalizedString text);
}
