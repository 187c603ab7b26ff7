namespace InferenceServer.Server.Tests;

/// <summary>A folder whose graph never comes to an end: the others are served meanwhile, it fails at its time-out, and the process ends when it is told to.</summary>
public sealed class EndlessGraphTests
{
    [Theory]
    [InlineData(false)] // every run is a loop
    [InlineData(true)] // it never opens
    public async Task Others_are_served_while_it_loads_and_the_process_ends_in_time(bool atOpening)
    {
        using var models = Models(atOpening);
        await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Shutdown__TimeoutSeconds"] = "1" }, ready: false);
        Assert.Equal(200, (await server.Client.ReadAsync("/health/ready/good")).Status);
        Assert.Equal(200, (await server.Client.PostAsync("/api/models/good/predictions", """{"inputs": "O banco da praça"}""")).Status);
        Assert.Equal(503, (await server.Client.ReadAsync("/health/ready/endless")).Status);
        Assert.Equal(503, (await server.Client.ReadAsync("/health/ready")).Status);

        server.Signal(15);
        await server.EndedWithinAsync(TimeSpan.FromSeconds(15)); // 1 s, 2 s of grace, 1 s for the exit, and room for a busy machine
        Assert.Contains(server.ExitCode, new[] { 0, 3 });
        server.AssertCleanLog();
    }

    [Fact]
    public async Task It_fails_at_its_time_out_and_the_server_is_ready()
    {
        using var models = Models(atOpening: false);
        await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Execution__LoadTimeoutSeconds"] = "1" });
        var endless = (await server.Client.ReadAsync("/api/models/endless")).Ok;
        Assert.Equal("failed", (string)endless["state"]!);
        Assert.Contains("1 seconds", (string)endless["reason"]!, StringComparison.Ordinal);
        Assert.Contains("a first run of its graph", (string)endless["reason"]!, StringComparison.Ordinal);
        Assert.Equal(200, (await server.Client.PostAsync("/api/models/good/predictions", """{"inputs": "O banco da praça"}""")).Status);
        server.AssertCleanLog();
    }

    private static TemporaryFolder Models(bool atOpening)
    {
        var models = new TemporaryFolder();
        foreach (var name in (string[])["endless", "good"])
        {
            TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), Path.Combine(models.Path, name));
        }

        File.WriteAllBytes(Path.Combine(models.Path, "endless", "onnx", "model.onnx"), atOpening ? EndlessGraph.AtOpening() : EndlessGraph.InRuns());
        return models;
    }
}
