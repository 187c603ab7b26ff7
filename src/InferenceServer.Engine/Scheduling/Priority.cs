namespace InferenceServer.Engine.Scheduling;

/// <summary>How urgent a request is.</summary>
public enum Priority
{
    /// <summary>Somebody waits for the answer.</summary>
    Interactive,

    /// <summary>Work in the background: it gets an eighth of the share of an interactive request, and all that is left over.</summary>
    Bulk,
}
