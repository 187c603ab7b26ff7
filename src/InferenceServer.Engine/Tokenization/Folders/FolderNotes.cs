namespace InferenceServer.Engine.Tokenization.Folders;

/// <summary>Sentences about a folder's tokenizer files: what was chosen, and the setting that changes it.</summary>
/// <param name="id">The model's id.</param>
/// <param name="use">Which file counts.</param>
internal sealed class FolderNotes(string id, TokenizerConfigUse use)
{
    private const int MostNamed = 8;

    /// <summary>The sentences.</summary>
    public List<string> All { get; } = [];

    /// <summary>Tells a difference that the setting decides.</summary>
    /// <param name="says">What tokenizer_config.json says, with its field.</param>
    /// <param name="but">What tokenizer.json does.</param>
    public void Differs(string says, string but) => All.Add(use == TokenizerConfigUse.Follow
        ? $"{says}, but tokenizer.json {but}: tokenizer_config.json is followed, as transformers 4.57 does, because Models:{id}:TokenizerConfig is follow."
        : $"{says}, but tokenizer.json {but}: tokenizer.json is followed. Set Models:{id}:TokenizerConfig=follow to take the other side, as transformers 4.57 does.");

    /// <summary>Tells a difference in which transformers takes tokenizer.json's side as well, so that the setting changes nothing.</summary>
    public void IsNotRead(string says, string but) => All.Add(
        $"{says}, but tokenizer.json {but}: tokenizer.json is followed, as transformers 4.57 does (its fast tokenizer does not read that field, and Models:{id}:TokenizerConfig=follow does not change it). Correct one of the files.");

    /// <summary>Tells of tokens that are added, and of those whose flags differ.</summary>
    public void Tokens(IReadOnlyList<FolderToken> added, IReadOnlyList<(AddedToken Listed, FolderToken Other)> differing, Func<string, int?> idOf)
    {
        foreach (var group in added.GroupBy(static t => t.Source))
        {
            var names = group.Take(MostNamed).Select(t =>
            {
                var actual = idOf(t.Token.Content);
                return t.Id is null || t.Id == actual ? $"'{t.Token.Content}' (id {actual})" : $"'{t.Token.Content}' (id {actual}, where the file says {t.Id}: ids are given in order, as in the reference)";
            });
            var rest = group.Count() > MostNamed ? $" and {group.Count() - MostNamed} more" : "";
            All.Add($"{group.Key}: names {string.Join(", ", names)}{rest}, which tokenizer.json does not list in added_tokens: added, as transformers 4.57 does, so that the text is one token. List it in tokenizer.json to settle it.");
        }

        foreach (var (listed, other) in differing.Take(MostNamed))
        {
            Differs($"{other.Source}: gives '{listed.Content}' the flags {Flags(other.Token)}", $"has {Flags(listed)}");
        }
    }

    private static string Flags(AddedToken token)
    {
        (string Name, bool Is)[] flags = [("special", token.Special), ("normalized", token.Normalized), ("lstrip", token.LStrip), ("rstrip", token.RStrip), ("single_word", token.SingleWord)];
        return string.Join(", ", flags.Where(static f => f.Is).Select(static f => f.Name)) is { Length: > 0 } set ? set : "none";
    }
}
