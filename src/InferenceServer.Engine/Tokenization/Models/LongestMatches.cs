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
        var parents = new int[trie.Count];
        var characters = new char[trie.Count];
        foreach (var (node, c, child) in trie.Edges())
        {
            (parents[child], characters[child]) = (node, c);
        }

        for (var node = CharTrie.Root + 1; node < depth.Length; node++)
        {
            depth[node] = depth[parents[node]] + 1; // a child is younger than its parent
        }

        foreach (var node in ByDepth())
        {
            suffix[node] = parents[node] == CharTrie.Root ? CharTrie.Root : Go(suffix[parents[node]], characters[node]);
            token[node] = trie.Id(node) >= 0 ? node : token[suffix[node]];
        }
    }

    // All nodes but the root, the shallow ones first (counted, not compared: a token may have a million characters).
    private int[] ByDepth()
    {
        var starts = new int[depth.Max() + 2];
        foreach (var d in depth.AsSpan(1))
        {
            starts[d + 1]++;
        }

        for (var d = 1; d < starts.Length; d++)
        {
            starts[d] += starts[d - 1];
        }

        var ordered = new int[depth.Length - 1];
        for (var node = CharTrie.Root + 1; node < depth.Length; node++)
        {
            ordered[starts[depth[node]]++] = node;
        }

        return ordered;
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
