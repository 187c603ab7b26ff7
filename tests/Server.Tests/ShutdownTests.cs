using System.Diagnostics;

namespace InferenceServer.Server.Tests;

/// <summary>The end: no exception, no request cut off.</summary>
public sealed class ShutdownTests
{
    [Theory]
    [InlineData(2)] // SIGINT, Ctrl-C
    [InlineData(15)] // SIGTERM
    public async Task Under_load_running_requests_end_and_the_log_stays_clean(int signal)
    {
        await using var server = await ServerProcess.StartAsync(Repository.Models);
        var body = $$"""{"inputs": [{{string.Join(',', Enumerable.Repeat("\"O banco da praça estava sujo, então fui ao banco sacar dinheiro.\"", 64))}}]}""";
        var served = 0;
        var broken = new List<string>();
        using var underway = new SemaphoreSlim(0);
        var clients = Enumerable.Range(0, 8).Select(async _ =>
        {
            while (true)
            {
                try
                {
                    var answer = await server.Client.PostAsync("/api/models/demo-bert/embeddings", body);
                    if (answer.Status == 200)
                    {
                        Interlocked.Increment(ref served);
                        underway.Release();
                    }
                    else if (answer.Status is not 503)
                    {
                        lock (broken)
                        {
                            broken.Add($"{answer.Status} {answer.Body}");
                        }
                    }
                }
                catch (HttpRequestException e) when (e.HttpRequestError is HttpRequestError.ConnectionError)
                {
                    return; // it no longer listens
                }
                catch (HttpRequestException e)
                {
                    lock (broken)
                    {
                        broken.Add(e.Message + " " + e.InnerException?.Message);
                    }

                    return;
                }
            }
        }).ToArray();
        for (var i = 0; i < 16; i++)
        {
            await underway.WaitAsync(TestContext.Current.CancellationToken);
        }

        var start = Stopwatch.GetTimestamp();
        server.Signal(signal);
        await server.EndedAsync();
        await Task.WhenAll(clients);
        Assert.Equal(0, server.ExitCode);
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(30));
        Assert.True(served >= 16);
        server.AssertCleanLog();

        // A kept-alive connection may be closed between two requests; an answer that had begun may not be cut.
        Assert.DoesNotContain(broken, b => !b.Contains("error occurred while sending", StringComparison.Ordinal));
    }

    [Fact]
    public async Task While_the_models_load()
    {
        await using var server = await ServerProcess.StartAsync(Repository.Models, ready: false);
        server.Signal(15);
        await server.EndedAsync();
        Assert.Equal(0, server.ExitCode);
        server.AssertCleanLog();
    }

    [Fact]
    public async Task An_idle_server_uses_no_cpu()
    {
        await using var server = await ServerProcess.StartAsync(Repository.Models);
        TimeSpan used = TimeSpan.MaxValue;
        for (var second = 0; second < 20 && used > TimeSpan.FromMilliseconds(20); second++)
        {
            // What is measured is what happens while nothing does; at first the runtime still compiles what the start used.
            var before = server.ProcessorTime;
            await Task.Delay(1000, TestContext.Current.CancellationToken);
            used = server.ProcessorTime - before;
        }

        Assert.True(used <= TimeSpan.FromMilliseconds(20), $"{used.TotalMilliseconds} ms a second");
    }
}
