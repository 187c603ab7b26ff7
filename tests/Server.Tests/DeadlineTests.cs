namespace InferenceServer.Server.Tests;

/// <summary>A request that takes too long is given up with 504.</summary>
public sealed class DeadlineTests
{
    [Fact]
    public async Task A_deadline_that_passes_is_504_and_names_the_setting()
    {
        await using var server = await ServerProcess.StartAsync(Repository.Models, new Dictionary<string, string?> { ["Limits__RequestTimeoutSeconds"] = "0.01" });
        var text = string.Join(' ', Enumerable.Repeat("banco", 200));
        var body = $$"""{"inputs": [{{string.Join(',', Enumerable.Repeat($"\"{text}\"", 1000))}}]}""";
        var answer = await server.Client.PostAsync("/api/models/demo-bert/embeddings", body);
        Assert.Equal(504, answer.Status);
        Assert.Contains("RequestTimeoutSeconds", (string)answer.Json["detail"]!, StringComparison.Ordinal);

        server.Client.DefaultRequestHeaders.Add("x-deadline-ms", "60000"); // later than the server's own: it does not count
        var patient = await server.Client.PostAsync("/api/models/demo-bert/embeddings", body);
        Assert.Equal(504, patient.Status);
        Assert.Contains("RequestTimeoutSeconds", (string)patient.Json["detail"]!, StringComparison.Ordinal);
        server.AssertCleanLog();
    }
}
