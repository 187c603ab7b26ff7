namespace InferenceServer.Engine.Execution;

/// <summary>A sequence to run: the ids as they go into the graph, special tokens included. <paramref name="TypeIds"/> null = all 0.</summary>
public sealed record GraphInput(int[] InputIds, int[]? TypeIds = null)
{
    /// <summary>Number of tokens.</summary>
    public int Length => InputIds.Length;

    /// <summary>Leading tokens that the others may attend to; those behind them have results of their own all the same. Null: all.</summary>
    public int? Attended { get; init; }

    /// <summary>What each head's context is multiplied with, heads of all layers one behind the other; needed by <see cref="OutputSet.MaskedHeads"/>, and by nothing else.</summary>
    internal float[]? HeadMask { get; init; }

    /// <summary>The name of an output of <see cref="OutputSet.MaskedHeads"/>.</summary>
    internal static string MaskedOutput(string name) => Manifest.HeadMask.Output(name);

    /// <summary>What the decoder of an encoder-decoder reads beside the ids; null: they go into a graph of their own.</summary>
    internal EncoderStates? Encoder { get; init; }
}
