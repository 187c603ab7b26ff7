namespace InferenceServer.Engine.Diagnostics;

/// <summary>
/// A model folder that cannot be served. The message is the reason a person can act on: which file, which part of it
/// (a JSON path, an operator, a tensor), and the remedy.
/// </summary>
public sealed class ModelLoadException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>When it is worth another try, where not the folder's content is at fault but what may pass (a file that is gone, a disk error, no memory); else null.</summary>
    public TimeSpan? RetryAfter { get; init; }
}
