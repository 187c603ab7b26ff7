namespace InferenceServer.Engine.Diagnostics;

/// <summary>Ids of the engine's log events, a range for each module, so that a line can be filtered by where it comes from. Those below 1000 are the host's.</summary>
public static class EventIds
{
    /// <summary>Sessions: 1000 - 1099.</summary>
    public const int Sessions = 1000;

    /// <summary>Batching: 1100 - 1199.</summary>
    public const int Batching = 1100;

    /// <summary>Loading: 1200 - 1299.</summary>
    public const int Loading = 1200;
}
