namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>The <c>model</c> of tokenizer.json: turns a piece into tokens. Immutable (but for its word cache) and thread-safe.</summary>
internal abstract class TokenizerModel(Vocabulary vocabulary)
{
    /// <summary>Tokens and ids.</summary>
    public Vocabulary Vocabulary { get; } = vocabulary;

    /// <summary>Whether <see cref="Tokenize"/> takes pieces as bytes; if not, they are written out as symbols first.</summary>
    public virtual bool TakesBytes => false;

    /// <summary>The mark of a token that continues a word (<c>##</c>), or null.</summary>
    public virtual string? ContinuingSubwordPrefix => null;

    /// <summary>Appends the tokens of a piece that is not empty.</summary>
    /// <param name="piece">The piece.</param>
    /// <param name="byteLevel">The piece's UTF-8 bytes are the symbols (byte-level BPE).</param>
    /// <param name="tokens">Where the tokens go.</param>
    /// <exception cref="Diagnostics.InferenceException">The piece has an unknown character, and the vocabulary has no token for that.</exception>
    public abstract void Tokenize(ReadOnlySpan<char> piece, bool byteLevel, TokenBuffer tokens);
}
