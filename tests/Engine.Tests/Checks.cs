using Xunit;

namespace InferenceServer.Engine.Tests;

/// <summary>A test that compared nothing has shown nothing: each says how much it compares at least.</summary>
internal static class Checks
{
    /// <summary>Fails when fewer comparisons were made than the reference gives.</summary>
    public static void AtLeast(int least, int made, string what) =>
        Assert.True(made >= least, $"{made} {what} were compared, of at least {least}: reference values are missing or cut short");
}
