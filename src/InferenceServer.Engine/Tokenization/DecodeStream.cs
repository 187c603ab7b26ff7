namespace InferenceServer.Engine.Tokenization;

/// <summary>
/// Decodes token by token: <see cref="Push"/> gives the text that became certain, never half a character. All that <see cref="Push"/>
/// and <see cref="Flush"/> gave, joined, is the text of all ids. Not thread-safe; one for each stream.
/// </summary>
public sealed class DecodeStream
{
    // A character has at most four byte tokens; a run of broken bytes longer than this is let go.
    private const int MostPending = 32;

    private readonly Tokenizer tokenizer;
    private readonly bool skipSpecialTokens;
    private readonly List<int> ids = [];
    private string prefix = "";
    private int prefixCount;

    internal DecodeStream(Tokenizer tokenizer, bool skipSpecialTokens)
    {
        this.tokenizer = tokenizer;
        this.skipSpecialTokens = skipSpecialTokens;
    }

    /// <summary>The text that <paramref name="id"/> completed, empty while a character is incomplete.</summary>
    public string Push(int id)
    {
        ids.Add(id);
        var text = Decode();
        if (text.Length <= prefix.Length || (text.EndsWith('\uFFFD') && ids.Count - prefixCount < MostPending))
        {
            return "";
        }

        var result = After(text);

        // Keep what was just told as the context of what comes; drop what was the context before.
        var context = ids.Count - prefixCount;
        ids.RemoveRange(0, prefixCount);
        prefixCount = context;
        prefix = Decode();
        return result;
    }

    /// <summary>What is left at the end of the stream.</summary>
    public string Flush()
    {
        var text = Decode();
        var result = text.Length > prefix.Length ? After(text) : "";
        ids.Clear();
        prefix = "";
        prefixCount = 0;
        return result;
    }

    private string After(string text) =>
        text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text[prefix.AsSpan().CommonPrefixLength(text)..];

    private string Decode() => tokenizer.Decode(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(ids), skipSpecialTokens);
}
