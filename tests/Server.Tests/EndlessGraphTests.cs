namespace InferenceServer.Server.Tests;

/// <summary>A folder whose graph never comes to an end: the others are served meanwhile, it fails at its time-out, and the process ends when it is told to.</summary>
public sealed class EndlessGraphTests
{
    private const int Rare = 40; // a token that the first runs do not have

    [Theory]
    [InlineData(false)] // every run is a loop
    [InlineData(true)] // it never opens
    public async Task Others_are_served_while_it_loads_and_the_process_ends_in_time(bool atOpening)
    {
        using var models = Models(atOpening ? EndlessGraph.AtOpening() : EndlessGraph.InRuns());
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
        using var models = Models(EndlessGraph.InRuns());
        await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Execution__LoadTimeoutSeconds"] = "1" });
        var endless = (await server.Client.ReadAsync("/api/models/endless")).Ok;
        Assert.Equal("failed", (string)endless["state"]!);
        Assert.Contains("1 seconds", (string)endless["reason"]!, StringComparison.Ordinal);
        Assert.Contains("did not come to an end", (string)endless["reason"]!, StringComparison.Ordinal);
        Assert.Equal(200, (await server.Client.PostAsync("/api/models/good/predictions", """{"inputs": "O banco da praça"}""")).Status);
        server.AssertCleanLog();
    }

    [Fact]
    public async Task A_run_that_nothing_ends_does_not_keep_the_process()
    {
        using var models = Models(EndlessGraph.OnToken(Rare));
        await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Shutdown__TimeoutSeconds"] = "0", ["Limits__RequestTimeoutSeconds"] = "4" });
        Assert.Equal(200, (await server.Client.PostAsync("/api/models/endless/embeddings", """{"inputs": [[2, 5]]}""")).Status);
        Assert.Equal(504, (await server.Client.PostAsync("/api/models/endless/embeddings", $$"""{"inputs": [[2, {{Rare}}]]}""")).Status);

        server.Signal(15);
        await server.EndedWithinAsync(TimeSpan.FromSeconds(20)); // 2 s of grace, 1 s for the exit, and room for a busy machine
        Assert.Equal(3, server.ExitCode);
        Assert.Contains("ended by force", server.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_longer_than_a_run_may_be_is_ended_and_the_next_is_served()
    {
        using var models = Models(EndlessGraph.InRuns(Rare));
        await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Execution__RunTimeoutSeconds"] = "1" });
        var ended = await server.Client.PostAsync("/api/models/endless/embeddings", $$"""{"inputs": [[2, {{Rare}}]]}""");
        Assert.Equal(504, ended.Status);
        Assert.Contains("Execution:RunTimeoutSeconds", (string)ended.Json["detail"]!, StringComparison.Ordinal);
        Assert.Equal(200, (await server.Client.PostAsync("/api/models/endless/embeddings", """{"inputs": [[2, 5]]}""")).Status);
        server.AssertCleanLog();
    }

    private static TemporaryFolder Models(byte[] endless)
    {
        var models = new TemporaryFolder();
        foreach (var name in (string[])["endless", "good"])
        {
            TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), Path.Combine(models.Path, name));
        }

        File.WriteAllBytes(Path.Combine(models.Path, "endless", "onnx", "model.onnx"), endless);
        return models;
    }
}
