using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>A symbol of a word under merging; <see cref="Length"/> 0: merged into the one before.</summary>
internal struct Symbol
{
    public int Id;
    public int Length;
    public int Previous;
    public int Next;
}

/// <summary>The symbols of one piece and the heap of the merges that can be done. Not thread-safe.</summary>
internal sealed class MergeWorkspace
{
    private Symbol[] symbols = new Symbol[64];
    private Candidate[] heap = new Candidate[64];
    private int count;
    private int heapCount;

    /// <summary>The symbols in order, merged ones with length 0.</summary>
    public ReadOnlySpan<Symbol> Symbols => symbols.AsSpan(0, count);

    /// <summary>Forgets the symbols.</summary>
    public void Clear() => count = 0;

    /// <summary>Appends a symbol.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(int id, int length)
    {
        if (count == symbols.Length)
        {
            Array.Resize(ref symbols, count * 2);
        }

        symbols[count] = new Symbol { Id = id, Length = length, Previous = count - 1, Next = count + 1 };
        count++;
    }

    /// <summary>Lets go of large buffers.</summary>
    public void Trim()
    {
        const int Large = 1 << 16;
        if (symbols.Length > Large)
        {
            symbols = new Symbol[64];
            count = 0;
        }

        if (heap.Length > Large)
        {
            heap = new Candidate[64];
        }
    }

    /// <summary>
    /// Merges until no pair of neighbours is in the table. As in the reference an entry of the heap is done when the pair at
    /// its place still merges into the same token, even if by another rule than the one that put it there.
    /// </summary>
    public void MergeAll(MergeTable merges)
    {
        if (count == 0)
        {
            return;
        }

        symbols[count - 1].Next = -1;
        heapCount = 0;
        for (var i = 0; i + 1 < count; i++)
        {
            Offer(merges, i, i + 1);
        }

        while (heapCount > 0)
        {
            var top = Pop();
            ref var left = ref symbols[top.Position];
            if (left.Length == 0 || left.Next < 0)
            {
                continue;
            }

            var next = left.Next;
            ref var right = ref symbols[next];
            if (!merges.TryGet(left.Id, right.Id, out _, out var merged) || merged != top.Merged)
            {
                continue;
            }

            left.Id = merged;
            left.Length += right.Length;
            left.Next = right.Next;
            right.Length = 0;
            if (left.Next >= 0)
            {
                symbols[left.Next].Previous = top.Position;
            }

            if (left.Previous >= 0)
            {
                Offer(merges, left.Previous, top.Position);
            }

            if (left.Next >= 0)
            {
                Offer(merges, top.Position, left.Next);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Offer(MergeTable merges, int left, int right)
    {
        if (merges.TryGet(symbols[left].Id, symbols[right].Id, out var rank, out var merged))
        {
            Push(new Candidate(((ulong)(uint)rank << 32) | (uint)left, merged));
        }
    }

    private void Push(Candidate candidate)
    {
        if (heapCount == heap.Length)
        {
            Array.Resize(ref heap, heapCount * 2);
        }

        var at = heapCount++;
        while (at > 0)
        {
            var parent = (at - 1) >> 1;
            if (heap[parent].Order <= candidate.Order)
            {
                break;
            }

            heap[at] = heap[parent];
            at = parent;
        }

        heap[at] = candidate;
    }

    private Candidate Pop()
    {
        var top = heap[0];
        var last = heap[--heapCount];
        var at = 0;
        while (true)
        {
            var child = (2 * at) + 1;
            if (child >= heapCount)
            {
                break;
            }

            if (child + 1 < heapCount && heap[child + 1].Order < heap[child].Order)
            {
                child++;
            }

            if (last.Order <= heap[child].Order)
            {
                break;
            }

            heap[at] = heap[child];
            at = child;
        }

        heap[at] = last;
        return top;
    }

    /// <summary>A merge that could be done: rank, then position, in one number.</summary>
    private readonly record struct Candidate(ulong Order, int Merged)
    {
        public int Position => (int)(uint)Order;
    }
}
