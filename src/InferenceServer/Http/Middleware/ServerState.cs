namespace InferenceServer.Http.Middleware;

/// <summary>What the whole server is doing, as answers show it.</summary>
internal sealed class ServerState
{
    private volatile bool draining;

    /// <summary>True from the signal to stop on: readiness fails, and answers close their connections.</summary>
    public bool IsDraining => draining;

    /// <summary>Notes the signal to stop.</summary>
    public void Drain() => draining = true;
}
