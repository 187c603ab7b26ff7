namespace InferenceServer.Engine.Tokenization.PostProcessors;

/// <summary>The one place where a post-processor's JSON <c>type</c> becomes a class.</summary>
internal static class PostProcessorFactory
{
    /// <summary>Builds the post-processor that <paramref name="part"/> describes.</summary>
    /// <exception cref="Diagnostics.ModelLoadException">The type is not supported, or a field is missing or wrong.</exception>
    public static PostProcessor Create(JsonPart part)
    {
        var type = part.String("type");
        return type switch
        {
            "TemplateProcessing" => TemplateProcessing.Read(part),
            "BertProcessing" => new BertProcessing(Pair(part.Member("sep")), Pair(part.Member("cls"))),
            "RobertaProcessing" => new RobertaProcessing(
                Pair(part.Member("sep")), Pair(part.Member("cls")), part.Bool("trim_offsets", true), part.Bool("add_prefix_space", true)),
            "ByteLevel" => Bytes(part),
            "Sequence" => Chain(part),
            _ => throw part.Unsupported("type", type),
        };
    }

    private static ByteLevel Bytes(JsonPart part)
    {
        part.Bool("use_regex", true);
        return new ByteLevel(part.Bool("trim_offsets"), part.Bool("add_prefix_space"));
    }

    private static Sequence Chain(JsonPart part)
    {
        var processors = part.Items("processors").Select(Create).ToArray();
        var sequence = new Sequence(processors);
        return sequence.Results(1, true) is not null
            ? sequence
            : throw part.Error("processors", "a TemplateProcessing gets more than two pieces of the one before it (or none), which the reference crashes on; keep one of the templates.");
    }

    private static TemplateToken Pair(JsonPart part)
    {
        var items = part.AsItems().Take(3).ToArray();
        return items.Length == 2 ? new TemplateToken(items[1].AsInt(), items[0].AsString()) : throw part.Error("must be a token and its id.");
    }
}
