namespace InferenceServer.Engine.Tasks.TokenClassification;

/// <summary>How the tags of token labels mark where entities begin and end.</summary>
/// <param name="Name">BIOES or BILOU; null for B and I alone, or no tags.</param>
/// <param name="Ends">Tags of the last token of an entity and of one that is a single token.</param>
internal sealed record LabelScheme(string? Name, string Ends)
{
    private static readonly LabelScheme[] Schemes = [new("BIOES", "ES"), new("BILOU", "LU")];

    /// <summary>The scheme of a model's labels: every one but O has a tag of it, and one that ends an entity is among them.</summary>
    public static LabelScheme Of(IReadOnlyList<string> labels) =>
        Array.Find(Schemes, scheme => labels.Any(label => Tag(label) is { } tag && scheme.Ends.Contains(tag, StringComparison.Ordinal))
            && labels.All(label => label is "O" || (Tag(label) is { } tag && ("BI" + scheme.Ends).Contains(tag, StringComparison.Ordinal)))) ?? new LabelScheme(null, "");

    /// <summary>True when no token of the same entity comes before this one: B, or a single token.</summary>
    public bool Begins(string label) => Tag(label) is { } tag && (tag == 'B' || (Ends.Length > 0 && tag == Ends[1]));

    /// <summary>True when no token of the same entity follows.</summary>
    public bool IsLast(string label) => Tag(label) is { } tag && Ends.Contains(tag, StringComparison.Ordinal);

    /// <summary>The label without its tag; the whole label where it has none of the scheme.</summary>
    public string Kind(string label) => Tag(label) is { } tag && (tag is 'B' or 'I' || Ends.Contains(tag, StringComparison.Ordinal)) ? label[2..] : label;

    private static char? Tag(string label) => label is [var tag, '-', ..] ? tag : null;
}
