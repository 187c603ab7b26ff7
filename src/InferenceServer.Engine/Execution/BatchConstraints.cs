namespace InferenceServer.Engine.Execution;

/// <summary>What a graph allows a batch to be.</summary>
/// <param name="MaxSequences">Most rows; 1 = every sequence runs alone.</param>
/// <param name="EqualLengthsOnly">True when the graph cannot be told what is padding.</param>
/// <param name="FixedLength">Length that every row is padded to, or null.</param>
internal sealed record BatchConstraints(int MaxSequences = int.MaxValue, bool EqualLengthsOnly = false, int? FixedLength = null)
{
    /// <summary>The length that a row of <paramref name="length"/> tokens takes.</summary>
    public int Padded(int length) => Math.Max(length, FixedLength ?? 0);
}
