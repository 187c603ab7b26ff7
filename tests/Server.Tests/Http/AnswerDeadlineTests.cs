using System.IO.Pipelines;
using InferenceServer.Configuration;
using InferenceServer.Http.Native;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Server.Tests.Http;

/// <summary>How long a client may take its answer.</summary>
public sealed class AnswerDeadlineTests
{
    private const int Rate = 1000;
    private static readonly Limits Limits = new() { AnswerTimeoutSeconds = 10, MinAnswerBytesPerSecond = Rate };
    private readonly FakeTimeProvider time = new();

    [Fact]
    public void Who_keeps_up_the_rate_is_not_cut_however_long_it_takes()
    {
        using var deadline = new AnswerDeadline(Limits, time);
        for (var second = 0; second < 1000; second++)
        {
            deadline.Taken(Rate);
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.False(deadline.Token.IsCancellationRequested);
        time.Advance(TimeSpan.FromSeconds(9.9)); // it stops reading
        Assert.False(deadline.Token.IsCancellationRequested);
        time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.True(deadline.Token.IsCancellationRequested);
    }

    [Fact]
    public void Who_does_not_read_is_cut_after_the_time_and_who_drips_when_it_is_that_much_behind()
    {
        using var silent = new AnswerDeadline(Limits, time);
        using var dripping = new AnswerDeadline(Limits, time);
        for (var second = 0; second < 11; second++)
        {
            dripping.Taken(Rate / 2);
            Assert.False(dripping.Token.IsCancellationRequested);
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.True(silent.Token.IsCancellationRequested);
        for (var second = 11; second < 21; second++)
        {
            dripping.Taken(Rate / 2);
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.True(dripping.Token.IsCancellationRequested);
    }

    [Fact]
    public async Task Bytes_count_once_they_are_flushed()
    {
        using var deadline = new AnswerDeadline(Limits, time);
        var pipe = new Pipe();
        var writer = new TakenWriter(pipe.Writer, deadline);
        writer.GetSpan(20 * Rate);
        writer.Advance(20 * Rate);
        Assert.Equal(20 * Rate, writer.UnflushedBytes);
        time.Advance(TimeSpan.FromSeconds(9));
        await writer.FlushAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, writer.UnflushedBytes);
        time.Advance(TimeSpan.FromSeconds(20));
        Assert.False(deadline.Token.IsCancellationRequested);
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.True(deadline.Token.IsCancellationRequested);
    }
}
