namespace InferenceServer.Benchmarks.Calm;

/// <summary>Options of the verb <c>calm</c>.</summary>
/// <param name="Case">The one case to run, or null for all.</param>
/// <param name="Seconds">Most seconds of each load; null for each case's own time.</param>
/// <param name="RetryShare">Overload: the share of the refused requests that are sent again after their Retry-After.</param>
internal sealed record CalmOptions(string? Case, double? Seconds, double RetryShare)
{
    /// <summary>The seconds of a load that normally takes so many.</summary>
    public double Time(double normal) => Math.Min(normal, Seconds ?? normal);
}
