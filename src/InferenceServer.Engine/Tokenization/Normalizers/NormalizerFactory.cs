namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary>The one place where a normalizer's JSON <c>type</c> becomes a class.</summary>
internal static class NormalizerFactory
{
    /// <summary>Builds the normalizer that <paramref name="part"/> describes.</summary>
    /// <exception cref="Diagnostics.ModelLoadException">The type is not supported, or a field is missing or wrong.</exception>
    public static Normalizer Create(JsonPart part)
    {
        var type = part.String("type");
        return type switch
        {
            _ => throw part.Unsupported("type", type),
        };
    }
}
