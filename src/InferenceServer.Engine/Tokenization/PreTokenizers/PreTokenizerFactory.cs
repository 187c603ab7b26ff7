namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary>The one place where a pre-tokenizer's JSON <c>type</c> becomes a class.</summary>
internal static class PreTokenizerFactory
{
    /// <summary>Builds the pre-tokenizer that <paramref name="part"/> describes.</summary>
    /// <exception cref="Diagnostics.ModelLoadException">The type is not supported, or a field is missing or wrong.</exception>
    public static PreTokenizer Create(JsonPart part)
    {
        var type = part.String("type");
        return type switch
        {
            _ => throw part.Unsupported("type", type),
        };
    }
}
