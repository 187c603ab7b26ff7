namespace InferenceServer.Engine.Batching;

/// <summary>How urgent a request is.</summary>
public enum Priority
{
    /// <summary>Somebody waits for the answer.</summary>
    Interactive,

    /// <summary>Goes when nothing interactive waits.</summary>
    Bulk,
}
