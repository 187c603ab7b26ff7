using System.Diagnostics;
using System.Diagnostics.Metrics;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>What the meters say of a run and of a refusal, by the model's name.</summary>
public sealed class EngineMetricsTests
{
    private readonly Dictionary<string, double> sums = [];
    private readonly Lock gate = new();

    [Fact]
    public async Task Runs_waits_padding_and_refusals_are_counted()
    {
        const string model = "measured";
        using var listener = new MeterListener { InstrumentPublished = (instrument, own) => { if (instrument.Meter.Name == EngineMetrics.Name) { own.EnableMeasurementEvents(instrument); } } };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags, model));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument, value, tags, model));
        listener.Start();

        await using var device = new Device(options: new QueueOptions { MaxWaitingSequences = 3 });
        var graph = new FakeGraph { Held = true };
        var executor = device.Add(graph, model);
        var first = Device.Run(executor, 4);
        await graph.StartedAsync();
        var second = Device.Run(executor, 8);
        var third = Device.Run(executor, 10);
        Assert.Equal(2, Sum("inference.queue.depth"));
        Assert.Throws<InferenceException>(() => executor.Admission.Admit(new RequestContext(), 5, 5));
        graph.Release(2);
        await Task.WhenAll(first, second, third);

        Assert.Equal(0, Sum("inference.queue.depth"));
        Assert.Equal(3, Sum("inference.batch.size")); // 1 + 2
        Assert.Equal(22, Sum("inference.tokens"));
        Assert.Equal(0.1, Sum("inference.batch.padding"), 6); // 2 of 20 positions
        Assert.Equal(1, Sum("inference.request.refusals"));
        Assert.Contains("inference.queue.duration", sums.Keys);
        Assert.Contains("inference.run.duration", sums.Keys);
    }

    [Fact]
    public void An_activity_has_the_names_of_the_conventions_and_costs_nothing_without_a_listener()
    {
        Assert.Null(EngineMetrics.Start("embeddings", "nobody-listens"));
        using var listener = new ActivityListener { ShouldListenTo = source => source.Name == EngineMetrics.Name, Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData };
        ActivitySource.AddActivityListener(listener);
        using var activity = EngineMetrics.Start("embeddings", "m");
        Assert.Equal("embeddings m", activity!.DisplayName);
        Assert.Equal(("embeddings", "m"), (activity.GetTagItem("gen_ai.operation.name"), activity.GetTagItem("gen_ai.request.model")));
    }

    private void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, string model)
    {
        foreach (var (key, tag) in tags)
        {
            if (key == "gen_ai.request.model" && tag as string == model)
            {
                lock (gate)
                {
                    sums[instrument.Name] = sums.GetValueOrDefault(instrument.Name) + value;
                }
            }
        }
    }

    private double Sum(string name)
    {
        lock (gate)
        {
            return sums.GetValueOrDefault(name);
        }
    }
}
