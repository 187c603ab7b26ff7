namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>How the vectors of tokens become one.</summary>
/// <param name="Mode">As a request writes it (<c>cls+mean</c>), or <see cref="Graph"/>.</param>
/// <param name="Source">Where it was read from: a file, a setting, <c>request</c>, <c>default</c> with its reason, or a graph output.</param>
public sealed record PoolingChoice(string Mode, string Source)
{
    /// <summary>The mode of a graph that gives one vector for the whole input.</summary>
    public const string Graph = "graph";
}
