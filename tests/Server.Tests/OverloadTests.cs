namespace InferenceServer.Server.Tests;

/// <summary>A full queue answers at once, says when to come back, and serves who comes back.</summary>
public sealed class OverloadTests
{
    [Fact]
    public async Task A_full_queue_is_429_with_a_time_to_come_back_and_the_next_request_is_served()
    {
        await using var server = await ServerProcess.StartAsync(Repository.Models, new Dictionary<string, string?> { ["Queue__MaxWaitingTokens"] = "1000" });
        var text = string.Join(' ', Enumerable.Repeat("banco", 200));
        var many = $$"""{"inputs": [{{string.Join(',', Enumerable.Repeat($"\"{text}\"", 300))}}]}""";
        const string one = """{"inputs": "O gato dorme."}""";

        // A request larger than the bound is let in when nothing waits; while it waits, others are refused.
        Task<Answer> large;
        Answer refused;
        do
        {
            large = server.Client.PostAsync("/api/models/demo-bert/embeddings", many);
            do
            {
                refused = await server.Client.PostAsync("/api/models/demo-bert/embeddings", one);
            }
            while (refused.Status == 200 && !large.IsCompleted);
        }
        while (refused.Status == 200 && (await large).Status == 429); // a small one was waiting just then

        Assert.Equal(429, refused.Status);
        Assert.True(refused.Headers.TryGetValues("Retry-After", out var after) && int.Parse(after.Single(), System.Globalization.CultureInfo.InvariantCulture) >= 1, refused.Body);
        Assert.Contains("1000", (string)refused.Json["detail"]!, StringComparison.Ordinal);
        Assert.Equal(200, (await large).Status);
        Assert.Equal(200, (await server.Client.PostAsync("/api/models/demo-bert/embeddings", one)).Status);
        server.AssertCleanLog();
    }
}
