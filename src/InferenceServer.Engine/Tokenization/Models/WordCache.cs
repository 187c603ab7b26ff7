using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>
/// The tokens of words seen before. Bounded (a fixed table, two places for each hash, a newer word takes the place of an older one),
/// thread-safe without locks (entries are immutable and published by reference).
/// </summary>
internal sealed class WordCache(int slots = 1 << 16)
{
    /// <summary>Longer words are not kept.</summary>
    public const int LongestWord = 48;

    private readonly Entry?[] table = new Entry?[slots];
    private readonly int mask = slots - 2;

    /// <summary>Appends the tokens of a word if it is known.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryGet(ReadOnlySpan<char> word, uint hash, TokenBuffer tokens)
    {
        var place = (int)hash & mask;
        var entry = Volatile.Read(ref table[place]);
        if (entry is null || entry.Hash != hash || !word.SequenceEqual(entry.Word))
        {
            entry = Volatile.Read(ref table[place + 1]);
            if (entry is null || entry.Hash != hash || !word.SequenceEqual(entry.Word))
            {
                return false;
            }
        }

        foreach (var token in entry.Tokens)
        {
            tokens.Add(token);
        }

        return true;
    }

    /// <summary>Keeps a word's tokens.</summary>
    public void Add(ReadOnlySpan<char> word, uint hash, ReadOnlySpan<TokenItem> tokens)
    {
        var place = (int)hash & mask;
        Volatile.Write(ref table[place + 1], table[place]);
        Volatile.Write(ref table[place], new Entry(hash, word.ToArray(), tokens.ToArray()));
    }

    /// <summary>The hash of a word.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Hash(ReadOnlySpan<char> word)
    {
        const ulong Factor = 0x9E3779B97F4A7C15;
        var hash = (ulong)word.Length * Factor;
        var bytes = MemoryMarshal.AsBytes(word);
        while (bytes.Length >= 8)
        {
            hash = (ulong.RotateLeft(hash, 29) ^ MemoryMarshal.Read<ulong>(bytes)) * Factor;
            bytes = bytes[8..];
        }

        if (bytes.Length >= 4)
        {
            hash = (ulong.RotateLeft(hash, 29) ^ MemoryMarshal.Read<uint>(bytes)) * Factor;
            bytes = bytes[4..];
        }

        if (bytes.Length >= 2)
        {
            hash = (ulong.RotateLeft(hash, 29) ^ MemoryMarshal.Read<ushort>(bytes)) * Factor;
        }

        return (uint)(hash >> 32);
    }

    private sealed class Entry(uint hash, char[] word, TokenItem[] tokens)
    {
        public uint Hash { get; } = hash;

        public char[] Word { get; } = word;

        public TokenItem[] Tokens { get; } = tokens;
    }
}
