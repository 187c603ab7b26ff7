using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization;

/// <summary>The buffers of one encoding at a time; every thread keeps its own.</summary>
internal sealed class EncodeWorkspace
{
    [ThreadStatic]
    private static EncodeWorkspace? current;

    private readonly List<EncodingBuilder> drafts = [];
    private int draftsUsed;

    /// <summary>This thread's buffers.</summary>
    public static EncodeWorkspace Current => current ??= new EncodeWorkspace();

    /// <summary>What the encoding may cost; null while there is none.</summary>
    public WorkLimits? Work { get; set; }

    /// <summary>The pieces.</summary>
    public PreTokenizedString Pieces { get; } = new();

    /// <summary>The pieces of a section of a long text.</summary>
    public PreTokenizedString Section { get; } = new();

    /// <summary>The tokens of a piece.</summary>
    public TokenBuffer Tokens { get; } = new();

    /// <summary>The tokens of the first sequence.</summary>
    public TokenRow First { get; } = new();

    /// <summary>The tokens of the second sequence.</summary>
    public TokenRow Second { get; } = new();

    /// <summary>An empty draft; it is this room's again at <see cref="Release"/>.</summary>
    public EncodingBuilder Draft()
    {
        if (draftsUsed == drafts.Count)
        {
            drafts.Add(new EncodingBuilder());
        }

        var draft = drafts[draftsUsed++];
        draft.Clear();
        return draft;
    }

    /// <summary>Forgets the texts and lets go of large buffers.</summary>
    public void Release()
    {
        Work = null;
        Pieces.Clear();
        Section.Clear();
        Tokens.Trim();
        First.Release();
        Second.Release();
        draftsUsed = 0;
        if (drafts.Count > 64)
        {
            drafts.RemoveRange(64, drafts.Count - 64);
        }
    }
}
