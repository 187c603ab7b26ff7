namespace InferenceServer.Engine.Tokenization;

/// <summary>The buffers of one encoding at a time; every thread keeps its own.</summary>
internal sealed class EncodeRoom
{
    [ThreadStatic]
    private static EncodeRoom? current;

    /// <summary>This thread's buffers.</summary>
    public static EncodeRoom Current => current ??= new EncodeRoom();

    /// <summary>The pieces.</summary>
    public PreTokenizedText Pieces { get; } = new();

    /// <summary>The tokens of a piece.</summary>
    public TokenBuffer Tokens { get; } = new();

    /// <summary>The tokens of the first sequence.</summary>
    public TokenRow First { get; } = new();

    /// <summary>The tokens of the second sequence.</summary>
    public TokenRow Second { get; } = new();

    /// <summary>Forgets the texts and lets go of large buffers.</summary>
    public void Release()
    {
        Pieces.Clear();
        Tokens.Trim();
        First.Release();
        Second.Release();
    }
}
