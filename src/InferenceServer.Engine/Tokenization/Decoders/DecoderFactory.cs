using InferenceServer.Engine.Tokenization.Patterns;

namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary>The one place where a decoder's JSON <c>type</c> becomes a class.</summary>
internal static class DecoderFactory
{
    /// <summary>Builds the decoder that <paramref name="part"/> describes.</summary>
    /// <exception cref="Diagnostics.ModelLoadException">The type is not supported, or a field is missing or wrong.</exception>
    public static Decoder Create(JsonPart part)
    {
        var type = part.String("type");
        switch (type)
        {
            case "WordPiece":
                return new WordPiece(part.String("prefix"), part.Bool("cleanup"));
            case "ByteLevel":
                part.Bool("add_prefix_space", true);
                part.Bool("trim_offsets", true);
                part.Bool("use_regex", true);
                return new ByteLevel();
            case "Metaspace":
                return Metaspace.Read(part);
            case "BPEDecoder":
                return new BPEDecoder(part.String("suffix"));
            case "Replace":
                return new Replace(PatternFactory.Create(part.Member("pattern")), part.String("content"));
            case "Fuse":
                return new Fuse();
            case "Strip":
                return new Strip(part.Member("content").AsRune(), part.Int("start"), part.Int("stop"));
            case "ByteFallback":
                return new ByteFallback();
            case "CTC":
                return new CTC(part.String("pad_token"), part.String("word_delimiter_token"), part.Bool("cleanup"));
            case "Sequence":
                return new Sequence(part.Items("decoders").Select(Create).ToArray());
            default:
                throw part.Unsupported("type", type);
        }
    }
}
