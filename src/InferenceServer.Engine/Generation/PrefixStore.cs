using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Generation;

/// <summary>Keys and values of prompts that have been computed, for those that begin alike (a system prompt, a conversation that goes on). Not thread-safe.</summary>
/// <param name="mostTokens">Most tokens that are kept; those that were not used for longest go first.</param>
internal sealed class PrefixStore(long mostTokens) : IDisposable
{
    /// <summary>A shorter beginning is computed sooner than it is copied.</summary>
    internal const int LeastTokens = 16;

    private const int MostEntries = 64;
    private readonly LinkedList<(int[] Ids, KvCache Cache)> entries = []; // the most recently used first

    /// <summary>Tokens that are kept.</summary>
    public long Tokens { get; private set; }

    /// <summary>A cache of the longest beginning of a prompt that is known, without its last token, whose logits are wanted; null when none is worth it.</summary>
    public KvCache? Find(IReadOnlyList<int> prompt)
    {
        LinkedListNode<(int[] Ids, KvCache Cache)>? best = null;
        var longest = LeastTokens - 1;
        for (var node = entries.First; node is not null; node = node.Next)
        {
            var common = 0;
            var most = Math.Min(node.Value.Ids.Length, prompt.Count - 1);
            while (common < most && node.Value.Ids[common] == prompt[common])
            {
                common++;
            }

            if (common > longest)
            {
                (best, longest) = (node, common);
            }
        }

        if (best is null)
        {
            return null;
        }

        entries.Remove(best);
        entries.AddFirst(best);
        return longest == best.Value.Ids.Length ? best.Value.Cache.Share() : KvCache.Gather([new CacheRow(best.Value.Cache, 0, longest)]);
    }

    /// <summary>Keeps the cache of a prompt, which is its own from now on. What it begins with need not be kept beside it.</summary>
    public void Add(IReadOnlyList<int> prompt, KvCache cache)
    {
        if (prompt.Count < LeastTokens || prompt.Count > mostTokens)
        {
            cache.Dispose();
            return;
        }

        for (var node = entries.First; node is not null;)
        {
            var next = node.Next;
            if (node.Value.Ids.Length <= prompt.Count && node.Value.Ids.AsSpan().SequenceEqual([.. prompt.Take(node.Value.Ids.Length)]))
            {
                Remove(node);
            }

            node = next;
        }

        entries.AddFirst(([.. prompt], cache));
        Tokens += prompt.Count;
        while (Tokens > mostTokens || entries.Count > MostEntries)
        {
            Remove(entries.Last!);
        }
    }

    /// <summary>Lets go of what was not used for longest; false when nothing is kept.</summary>
    public bool Shrink()
    {
        if (entries.Last is not { } last)
        {
            return false;
        }

        Remove(last);
        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        while (Shrink())
        {
            // until it is empty
        }
    }

    private void Remove(LinkedListNode<(int[] Ids, KvCache Cache)> node)
    {
        node.Value.Cache.Dispose();
        Tokens -= node.Value.Ids.Length;
        entries.Remove(node);
    }
}
