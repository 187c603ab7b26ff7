namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary>A <c>decoder</c> of tokenizer.json: rewrites the list of tokens; what is left is joined without spaces. Immutable and thread-safe.</summary>
internal abstract class Decoder
{
    /// <summary>Rewrites the tokens.</summary>
    public abstract List<string> Decode(List<string> tokens);
}
