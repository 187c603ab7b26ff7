using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Generation;

/// <summary>Sequences that take their decode steps together, with the cache that they share.</summary>
internal sealed class DecodingBatch : IDisposable
{
    private readonly Decoder decoder;
    private List<(RowGroup Group, IReadOnlyList<(int Parent, int Token)> Rows)> members;

    /// <summary>One group after its prefill.</summary>
    /// <param name="decoder">What runs.</param>
    /// <param name="group">The group.</param>
    /// <param name="cache">Its cache, of one row; the batch's from now on.</param>
    /// <param name="rows">What its rows are next.</param>
    public DecodingBatch(Decoder decoder, RowGroup group, KvCache cache, IReadOnlyList<(int Parent, int Token)> rows)
    {
        this.decoder = decoder;
        members = [(group, rows)];
        Cache = cache;
        if (rows.Count != cache.Rows || rows[0].Parent != 0)
        {
            Rebuild(rows.Select(row => new CacheRow(cache, row.Parent)));
        }
    }

    /// <summary>Keys and values of all rows.</summary>
    public KvCache Cache { get; private set; }

    /// <summary>The groups, in the order of their rows.</summary>
    public IEnumerable<RowGroup> Groups => members.Select(member => member.Group);

    /// <summary>Rows of the next step.</summary>
    public int Rows => members.Sum(member => member.Rows.Count);

    /// <summary>The next decode step.</summary>
    public IGraphStep Step() => new DecodeStep(this);

    /// <summary>Takes out the groups that have ended, takes in others, and puts the rows where the next step wants them; copies only where something has changed.</summary>
    /// <param name="leaves">Which groups go.</param>
    /// <param name="joining">Batches whose groups come; they are used up.</param>
    public void Change(Func<RowGroup, bool> leaves, IReadOnlyList<DecodingBatch> joining)
    {
        var rows = new List<CacheRow>();
        var kept = new List<(RowGroup, IReadOnlyList<(int Parent, int Token)>)>();
        var offset = 0;
        foreach (var (group, next) in members)
        {
            if (!leaves(group) && next.Count > 0)
            {
                rows.AddRange(next.Select(row => new CacheRow(Cache, row.Parent)));
                kept.Add((group, [.. next.Select((row, i) => (offset + i, row.Token))]));
                offset += next.Count;
            }
        }

        foreach (var other in joining)
        {
            foreach (var (group, next) in other.members)
            {
                rows.AddRange(next.Select(row => new CacheRow(other.Cache, row.Parent)));
                kept.Add((group, [.. next.Select((row, i) => (offset + i, row.Token))]));
                offset += next.Count;
            }
        }

        members = kept;
        if (rows.Count > 0 && (rows.Count != Cache.Rows || joining.Count > 0 || rows.Where((row, i) => row.Row != i).Any()))
        {
            Rebuild(rows);
        }

        foreach (var other in joining)
        {
            other.Dispose();
        }
    }

    /// <summary>A batch for each group, with caches of their own; this one is used up.</summary>
    public List<DecodingBatch> Split()
    {
        var batches = new List<DecodingBatch>();
        foreach (var (group, next) in members)
        {
            var own = KvCache.Gather([.. next.Select(row => new CacheRow(Cache, row.Parent))]);
            batches.Add(new DecodingBatch(decoder, group, own, [.. next.Select((row, i) => (i, row.Token))]));
        }

        Dispose();
        return batches;
    }

    /// <inheritdoc/>
    public void Dispose() => Cache.Dispose();

    private void Rebuild(IEnumerable<CacheRow> rows)
    {
        var old = Cache;
        Cache = KvCache.Gather([.. rows]);
        old.Dispose();
    }

    private sealed class DecodeStep(DecodingBatch batch) : IGraphStep
    {
        public int Rows => batch.Rows;

        public int Tokens => batch.Rows;

        public long Bytes => batch.Cache.Tokens * batch.decoder.TokenBytes;

        public void Run(IGraphVariant variant, CancellationToken terminate)
        {
            var members = batch.members;
            Span<int> ids = [.. members.SelectMany(member => member.Rows).Select(row => row.Token)];
            var owners = members.SelectMany(member => member.Rows.Select((_, row) => (member.Group, Row: row))).ToArray();
            batch.decoder.Run(variant, batch.Cache, ids, 1, (row, logits) => Steps.Read(owners[row].Group, owners[row].Row, logits), terminate);
            foreach (var (group, _) in members)
            {
                group.Context.AddRun(TimeSpan.Zero, TimeSpan.Zero, owners.Length);
            }

            var offset = 0;
            batch.members = [.. members.Select(member =>
            {
                var from = offset;
                offset += member.Rows.Count;
                var next = member.Group.IsDone ? [] : Steps.Advance(member.Group);
                return (member.Group, (IReadOnlyList<(int, int)>)[.. next.Select(row => (from + row.Parent, row.Token))]);
            })];
        }
    }
}

/// <summary>A run of a part of a prompt.</summary>
/// <param name="decoder">What runs.</param>
/// <param name="cache">What came before; it grows.</param>
/// <param name="ids">The part.</param>
/// <param name="group">Who reads what comes next; null when more of the prompt follows.</param>
internal sealed class PrefillStep(Decoder decoder, KvCache cache, int[] ids, RowGroup? group) : IGraphStep
{
    /// <inheritdoc/>
    public int Rows => 1;

    /// <inheritdoc/>
    public int Tokens => ids.Length;

    /// <inheritdoc/>
    public long Bytes => (cache.Tokens + ids.Length) * decoder.TokenBytes;

    /// <summary>What the group's rows are next, after its last part.</summary>
    public IReadOnlyList<(int Parent, int Token)> Next { get; private set; } = [];

    /// <inheritdoc/>
    public void Run(IGraphVariant variant, CancellationToken terminate)
    {
        decoder.Run(variant, cache, ids, ids.Length, group is null ? null : (_, logits) => Steps.Read(group, 0, logits), terminate);
        Next = group is null or { IsDone: true } ? [] : Steps.Advance(group);
    }
}

/// <summary>What one group does wrong fails that group alone.</summary>
internal static class Steps
{
    /// <summary>Lets a group read its logits.</summary>
    public static void Read(RowGroup group, int row, ReadOnlySpan<float> logits)
    {
        if (group.IsDone)
        {
            return;
        }

        try
        {
            group.Read(row, logits);
        }
        catch (Exception e)
        {
            group.Fail(e);
        }
    }

    /// <summary>What a group's rows are next.</summary>
    public static IReadOnlyList<(int Parent, int Token)> Advance(RowGroup group)
    {
        try
        {
            return group.Advance();
        }
        catch (Exception e)
        {
            group.Fail(e);
            return [];
        }
    }
}
