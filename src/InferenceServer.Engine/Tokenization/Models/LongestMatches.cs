namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>
/// Finds for every place of a text the longest token that begins there, in time linear in the text however long the tokens are. Aho, Corasick: Efficient String Matching:
/// An Aid to Bibliographic Search, CACM 18 (1975). Walking a trie from every place is quicker for short tokens, and takes the product of both lengths for long ones.
/// </summary>
internal sealed class LongestMatches
{
    private readonly CharTrie trie;
    private readonly int[] depth; // of each node
    private readonly int[] suffix; // the node of the longest proper suffix that is in the trie
    private readonly int[] token; // the node itself or its longest suffix that ends a token; 0 where there is none

    /// <summary>Prepares the search for the tokens of a trie.</summary>
    public LongestMatches(CharTrie trie)
    {
        this.trie = trie;
        (depth, suffix, token) = (new int[trie.Count], new int[trie.Count], new int[trie.Count]);
        var edges = trie.Edges().ToArray();
        foreach (var (node, _, child) in edges.OrderBy(static edge => edge.Child))
        {
            depth[child] = depth[node] + 1; // a child is younger than its parent
        }

        foreach (var (node, c, child) in edges.OrderBy(edge => depth[edge.Child]))
        {
            suffix[child] = node == CharTrie.Root ? CharTrie.Root : Go(suffix[node], c);
            token[child] = trie.Id(child) >= 0 ? child : token[suffix[child]];
        }
    }

    /// <summary>For every place of <paramref name="text"/> the id of the longest token that begins there, or -1.</summary>
    public int[] Of(ReadOnlySpan<char> text)
    {
        var found = new int[text.Length];
        found.AsSpan().Fill(-1);
        var node = CharTrie.Root;
        for (var i = 0; i < text.Length; i++)
        {
            node = Go(node, text[i]);
            for (var end = token[node]; end != CharTrie.Root; end = token[suffix[end]])
            {
                found[i + 1 - depth[end]] = trie.Id(end); // what begins there and ends later is longer
            }
        }

        return found;
    }

    private int Go(int node, char c)
    {
        while (true)
        {
            var child = trie.Child(node, c);
            if (child >= 0)
            {
                return child;
            }

            if (node == CharTrie.Root)
            {
                return CharTrie.Root;
            }

            node = suffix[node];
        }
    }
}
