namespace InferenceServer.Engine.Diagnostics;

/// <summary>Ids of the engine's log events, a range for each module, so that a line can be filtered by where it comes from. Those below 1000 are the host's.</summary>
public static class EventIds
{
    /// <summary>Execution: 1000 - 1099.</summary>
    public const int Execution = 1000;

    /// <summary>Scheduling: 1100 - 1199.</summary>
    public const int Scheduling = 1100;

    /// <summary>Serving: 1200 - 1299.</summary>
    public const int Serving = 1200;
}
