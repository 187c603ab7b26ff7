namespace InferenceServer.Server.Tests;

/// <summary>Restarts that clients do not notice. Alone on the machine, as the proxy must get to ask for readiness within the drain time.</summary>
[Collection(ServerCollection.Name)]
public sealed class RollingRestartTests
{
    [Fact]
    public async Task Restarts_behind_a_proxy_lose_no_request()
    {
        using var models = ConnectionsTests.SmallModel();
        var seen = await RollingRestart.RunAsync(
            models.Path, "/api/models/demo-language/predictions", """{"inputs": "O gato"}""", restarts: 2, connections: 64, drainSeconds: 1.5, pause: TimeSpan.FromMilliseconds(100));
        Assert.Empty(seen.Failed);
        Assert.True(seen.Sent > 64, $"{seen.Sent} requests");
    }
}
