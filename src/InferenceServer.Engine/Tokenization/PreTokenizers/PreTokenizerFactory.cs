using InferenceServer.Engine.Tokenization.Patterns;

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
            "BertPreTokenizer" => new BertPreTokenizer(),
            "ByteLevel" => CreateByteLevel(part),
            "CharDelimiterSplit" => new CharDelimiterSplit(part.Member("delimiter").AsRune()),
            "Digits" => new Digits(part.Bool("individual_digits", false)),
            "FixedLength" => new FixedLength(part.OptionalInt("length", 1) ?? 5),
            "Metaspace" => CreateMetaspace(part),
            "Punctuation" => new Punctuation(part.Has("behavior") ? Behavior(part.Member("behavior")) : SplitBehavior.Isolated),
            "Sequence" => new Sequence([.. part.Items("pretokenizers").Select(Create)]),
            "Split" => new Split(PatternFactory.Create(part.Member("pattern")), Behavior(part.Member("behavior")), part.Bool("invert", false)),
            "UnicodeScripts" => new UnicodeScripts(),
            "Whitespace" => new Whitespace(),
            "WhitespaceSplit" => new WhitespaceSplit(),
            _ => throw part.Unsupported("type", type),
        };
    }

    private static ByteLevel CreateByteLevel(JsonPart part)
    {
        part.Bool("trim_offsets");
        return new ByteLevel(part.Bool("add_prefix_space"), part.Bool("use_regex", true));
    }

    private static SplitBehavior Behavior(JsonPart part)
    {
        var name = part.AsString();
        return Enum.TryParse<SplitBehavior>(name, out var behavior) && Enum.GetName(behavior) == name
            ? behavior
            : throw part.Error("must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous.");
    }

    // Old files have add_prefix_space in the place of prepend_scheme, and str_rep, which nothing reads.
    private static Metaspace CreateMetaspace(JsonPart part)
    {
        var scheme = part.Has("prepend_scheme")
            ? part.String("prepend_scheme") switch
            {
                "always" => PrependScheme.Always,
                "never" => PrependScheme.Never,
                "first" => PrependScheme.First,
                _ => throw part.Error("prepend_scheme", "must be always, never or first."),
            }
            : PrependScheme.Always;
        if (part.Optional("add_prefix_space") is { IsNull: false } prefix && !prefix.AsBool() && scheme != PrependScheme.Never)
        {
            throw part.Error("add_prefix_space", "does not match prepend_scheme; the reference refuses this file. Put \"prepend_scheme\": \"never\" beside it.");
        }

        return new Metaspace(part.Member("replacement").AsRune(), scheme, part.Optional("split") is { IsNull: false } split ? split.AsBool() : true);
    }
}
