namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>A trie over UTF-16 units: children in one open-addressing table, read-only once built.</summary>
internal sealed class CharTrie
{
    /// <summary>The root node.</summary>
    public const int Root = 0;

    private readonly List<int> ids = [-1];
    private ulong[] keys = new ulong[1 << 12];
    private int[] children = new int[1 << 12];
    private int edges;

    /// <summary>A trie of tokens and their ids; the empty token is left out.</summary>
    public CharTrie(IEnumerable<KeyValuePair<string, int>> tokens)
    {
        foreach (var (token, id) in tokens)
        {
            if (token.Length == 0)
            {
                continue;
            }

            var node = Root;
            foreach (var c in token)
            {
                var child = Child(node, c);
                if (child < 0)
                {
                    child = ids.Count;
                    ids.Add(-1);
                    AddEdge(node, c, child);
                }

                node = child;
            }

            // The first of equal tokens counts.
            ids[node] = ids[node] < 0 ? id : ids[node];
        }
    }

    /// <summary>Number of nodes.</summary>
    public int Count => ids.Count;

    /// <summary>All edges, in no order.</summary>
    public IEnumerable<(int Node, char C, int Child)> Edges()
    {
        for (var at = 0; at < keys.Length; at++)
        {
            if (keys[at] != 0)
            {
                yield return ((int)(keys[at] >> 17), (char)keys[at], children[at]);
            }
        }
    }

    /// <summary>The id of the token that ends at a node, or -1.</summary>
    public int Id(int node) => ids[node];

    /// <summary>The child of a node, or -1.</summary>
    public int Child(int node, char c)
    {
        var key = Key(node, c);
        var mask = keys.Length - 1;
        for (var at = Slot(key); ; at = (at + 1) & mask)
        {
            if (keys[at] == key)
            {
                return children[at];
            }

            if (keys[at] == 0)
            {
                return -1;
            }
        }
    }

    // Never 0: 0 marks a free place.
    private static ulong Key(int node, char c) => ((ulong)(uint)node << 17) | 0x10000 | c;

    private int Slot(ulong key) => (int)((key * 0x9E3779B97F4A7C15) >> 32) & (keys.Length - 1);

    private void AddEdge(int node, char c, int child)
    {
        if (++edges * 2 > keys.Length)
        {
            var (oldKeys, oldChildren) = (keys, children);
            keys = new ulong[oldKeys.Length * 2];
            children = new int[keys.Length];
            for (var i = 0; i < oldKeys.Length; i++)
            {
                if (oldKeys[i] != 0)
                {
                    Put(oldKeys[i], oldChildren[i]);
                }
            }
        }

        Put(Key(node, c), child);
    }

    private void Put(ulong key, int child)
    {
        var mask = keys.Length - 1;
        var at = Slot(key);
        while (keys[at] != 0)
        {
            at = (at + 1) & mask;
        }

        keys[at] = key;
        children[at] = child;
    }
}
