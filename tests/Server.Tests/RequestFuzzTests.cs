using System.Globalization;
using InferenceServer.TestSupport.Fuzz;

namespace InferenceServer.Server.Tests;

/// <summary>Changed requests and bodies to every endpoint. <c>dotnet run -c Release --project tests/Benchmarks -- fuzz requests</c> and <c>fuzz bodies</c> send many more.</summary>
[Collection(ServerCollection.Name)]
public sealed class RequestFuzzTests(DemoServer demo)
{
    private const int Bodies = 150;
    private const int Requests = 400;
    private const int LeastEndpoints = 7;

    [Fact]
    public async Task Every_request_that_is_changed_around_its_body_gets_an_answer_of_http_or_the_end_of_its_connection()
    {
        var seed = int.Parse(Environment.GetEnvironmentVariable("FUZZ_SEED") ?? "0", CultureInfo.InvariantCulture);
        var fuzz = new RequestFuzz(demo.Client);
        await fuzz.RunAsync(Requests, seed, TestContext.Current.CancellationToken);
        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(", ", fuzz.Statuses));
        Assert.True(fuzz.Wrong.Count == 0, string.Join('\n', fuzz.Wrong) + "\n" + demo.Process.Log);
        Assert.InRange(fuzz.Statuses[200], Requests / 20, int.MaxValue); // some changes are harmless: the models ran
        demo.Process.AssertCleanLog();
    }

    [Theory]
    [InlineData("{\"inputs\": [\"a\"], \"task\": \"next-token\", \"parameters\": {\"top\u009bk\": 1}}")]
    [InlineData("{\"inputs\": [\"a\"], \"task\": \"next-token\", \"parameters\": {\"top_k\": \"\u009b\"}}")]
    public async Task Bytes_that_are_no_utf8_are_refused_wherever_they_stand(string latin)
    {
        using var content = new ByteArrayContent(System.Text.Encoding.Latin1.GetBytes(latin)) { Headers = { ContentType = new("application/json") } };
        using var answer = await demo.Client.PostAsync("/api/models/demo-gpt/predictions", content, TestContext.Current.CancellationToken);
        Assert.Equal(400, (int)answer.StatusCode);
    }

    [Fact]
    public async Task Every_changed_body_gets_an_answer_that_is_documented()
    {
        var seed = int.Parse(Environment.GetEnvironmentVariable("FUZZ_SEED") ?? "0", CultureInfo.InvariantCulture);
        var fuzz = new BodyFuzz(demo.Client);
        var endpoints = await fuzz.RunAsync(Bodies, seed, TestContext.Current.CancellationToken);
        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(", ", fuzz.Statuses));
        Assert.True(fuzz.Wrong.Count == 0, string.Join('\n', fuzz.Wrong) + "\n" + demo.Process.Log);
        Assert.InRange(endpoints, LeastEndpoints, int.MaxValue);
        Assert.InRange(fuzz.Statuses[200], Bodies / 4, int.MaxValue); // some changes are harmless: the models ran
        demo.Process.AssertCleanLog();
    }
}
