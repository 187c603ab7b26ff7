namespace InferenceServer.Engine.Diagnostics;

/// <summary>Ids of log events, a range for each module, so that a line can be filtered by where it comes from.</summary>
public static class EventIds
{
    /// <summary>Execution: 1000 - 1099.</summary>
    public const int Execution = 1000;

    /// <summary>Scheduling: 1100 - 1199.</summary>
    public const int Scheduling = 1100;

    /// <summary>Serving: 1200 - 1299.</summary>
    public const int Serving = 1200;

    /// <summary>Hosting: 2000 - 2099.</summary>
    public const int Hosting = 2000;

    /// <summary>Endpoints: 2100 - 2199.</summary>
    public const int Endpoints = 2100;
}
