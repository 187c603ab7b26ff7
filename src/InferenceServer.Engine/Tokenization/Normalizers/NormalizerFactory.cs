using InferenceServer.Engine.Tokenization.Patterns;

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
            "BertNormalizer" => new BertNormalizer(
                part.Bool("clean_text", true),
                part.Bool("handle_chinese_chars", true),
                part.Optional("strip_accents") is { IsNull: false } strip ? strip.AsBool() : null,
                part.Bool("lowercase", true)),
            "ByteLevel" => new ByteLevel(),
            "Lowercase" => new Lowercase(),
            "NFC" => new NFC(),
            "NFD" => new NFD(),
            "NFKC" => new NFKC(),
            "NFKD" => new NFKD(),
            "Nmt" => new Nmt(),
            "Precompiled" => CreatePrecompiled(part),
            "Prepend" => new Prepend(part.String("prepend")),
            "Replace" => new Replace(PatternFactory.Create(part.Member("pattern")), part.String("content")),
            "Sequence" => new Sequence([.. part.Items("normalizers").Select(Create)]),
            "Strip" => new Strip(part.Bool("strip_left", true), part.Bool("strip_right", true)),
            "StripAccents" => new StripAccents(),
            _ => throw part.Unsupported("type", type),
        };
    }

    private static Precompiled CreatePrecompiled(JsonPart part)
    {
        var charsmap = part.Member("precompiled_charsmap");
        try
        {
            return new Precompiled(Convert.FromBase64String(charsmap.AsString()));
        }
        catch (FormatException e)
        {
            throw charsmap.Error(e.Message.StartsWith("is no", StringComparison.Ordinal) ? e.Message : "must be base64.");
        }
    }
}
