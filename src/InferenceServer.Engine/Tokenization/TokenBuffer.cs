using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace InferenceServer.Engine.Tokenization;

/// <summary>A token of a piece: its id and the units <c>[Start, End)</c> of the piece. <paramref name="Surface"/>: its string is the piece's text there, not the vocabulary's.</summary>
internal readonly record struct TokenItem(int Id, int Start, int End, bool Surface = false);

/// <summary>The tokens of one piece, and the room that models work in. Reused from call to call: not thread-safe.</summary>
internal sealed class TokenBuffer
{
    private TokenItem[] items = new TokenItem[256];

    /// <summary>Number of tokens.</summary>
    public int Count { get; private set; }

    /// <summary>The tokens.</summary>
    public Span<TokenItem> Items => items.AsSpan(0, Count);

    /// <summary>Room for models (see <see cref="Room{T}"/>).</summary>
    private readonly List<object> rooms = [];

    /// <summary>Forgets the tokens from <paramref name="count"/> on.</summary>
    public void Truncate(int count) => Count = count;

    /// <summary>Forgets the tokens.</summary>
    public void Clear() => Count = 0;

    /// <summary>Adds a token.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(TokenItem item)
    {
        if (Count == items.Length)
        {
            Array.Resize(ref items, Count * 2);
        }

        items[Count++] = item;
    }

    /// <summary>Turns the tokens from <paramref name="start"/> on around.</summary>
    public void Reverse(int start) => items.AsSpan(start, Count - start).Reverse();

    /// <summary>The working memory of a model, made at first use.</summary>
    public T Room<T>()
        where T : class, new()
    {
        foreach (var room in CollectionsMarshal.AsSpan(rooms))
        {
            if (room is T found)
            {
                return found;
            }
        }

        var made = new T();
        rooms.Add(made);
        return made;
    }

    /// <summary>Lets go of large buffers.</summary>
    public void Trim()
    {
        const int Large = 1 << 16;
        if (items.Length > Large)
        {
            items = new TokenItem[256];
            rooms.Clear();
        }

        Count = 0;
    }
}
