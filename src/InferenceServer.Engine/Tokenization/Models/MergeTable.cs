namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>The merges of a BPE model: pair of ids to rank and id of the merged token. Open addressing, read-only once built.</summary>
internal sealed class MergeTable
{
    private readonly Entry[] entries;
    private readonly int shift;
    private readonly int mask;

    /// <summary>Builds the table; of a pair that is listed twice the later one counts.</summary>
    public MergeTable(IReadOnlyList<(int Left, int Right, int Merged)> merges)
    {
        var bits = Math.Max(4, System.Numerics.BitOperations.Log2((uint)merges.Count + 1) + 2);
        entries = new Entry[1 << bits];
        Array.Fill(entries, new Entry(ulong.MaxValue, 0, 0));
        shift = 64 - bits;
        mask = entries.Length - 1;
        for (var rank = 0; rank < merges.Count; rank++)
        {
            var (left, right, merged) = merges[rank];
            var key = Key(left, right);
            var at = Slot(key);
            while (entries[at].Key != ulong.MaxValue && entries[at].Key != key)
            {
                at = (at + 1) & mask;
            }

            entries[at] = new Entry(key, rank, merged);
        }
    }

    /// <summary>Looks a pair up.</summary>
    public bool TryGet(int left, int right, out int rank, out int merged)
    {
        var key = Key(left, right);
        for (var at = Slot(key); ; at = (at + 1) & mask)
        {
            ref readonly var entry = ref entries[at];
            if (entry.Key == key)
            {
                rank = entry.Rank;
                merged = entry.Merged;
                return true;
            }

            if (entry.Key == ulong.MaxValue)
            {
                rank = merged = 0;
                return false;
            }
        }
    }

    private static ulong Key(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    private int Slot(ulong key) => (int)((key * 0x9E3779B97F4A7C15) >> shift) & mask;

    private readonly record struct Entry(ulong Key, int Rank, int Merged);
}
