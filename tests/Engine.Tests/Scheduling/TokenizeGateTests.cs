using System.Diagnostics.Metrics;
using InferenceServer.Engine.Diagnostics;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>As many large requests tokenise at the same time as there are places.</summary>
public sealed class TokenizeGateTests
{
    [Fact]
    public async Task Who_finds_no_place_waits_for_one_and_who_gives_up_takes_none()
    {
        long active = 0;
        using var listener = new MeterListener { InstrumentPublished = (instrument, own) => { if (instrument.Name == "inference.tokenize.active") { own.EnableMeasurementEvents(instrument); } } };
        listener.SetMeasurementEventCallback<long>((_, change, _, _) => Interlocked.Add(ref active, change));
        listener.Start();

        using var gate = new TokenizeGate(2);
        var first = await gate.EnterAsync(TestContext.Current.CancellationToken);
        var second = await gate.EnterAsync(TestContext.Current.CancellationToken);
        Assert.Equal(2, Interlocked.Read(ref active));

        using var gone = new CancellationTokenSource();
        var leaver = gate.EnterAsync(gone.Token).AsTask();
        var third = gate.EnterAsync(TestContext.Current.CancellationToken).AsTask();
        Assert.False(leaver.IsCompleted || third.IsCompleted);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => leaver);

        first.Dispose();
        first.Dispose(); // once
        var place = await third;
        var fourth = gate.EnterAsync(TestContext.Current.CancellationToken).AsTask();
        Assert.False(fourth.IsCompleted);
        Assert.Equal(2, Interlocked.Read(ref active));

        second.Dispose();
        place.Dispose();
        (await fourth).Dispose();
        Assert.Equal(0, Interlocked.Read(ref active));
    }
}
