using System.Collections.Concurrent;
using System.Threading.Channels;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Sessions;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine.Batching;

/// <summary>The queue of one graph: an actor that owns what waits, and the lanes that run batches.</summary>
/// <remarks>
/// (1) A caller enters by the door, on its own thread, and its rider goes into the mailbox. (2) The loop takes all that is in
/// the mailbox, then packs a batch for every idle lane; nothing waits for company while a lane is idle. While all lanes run,
/// one full batch is prepared ahead. (3) A lane, a thread of its own, drops who has gone, runs the graph, and answers each rider
/// from its row. (4) When every rider of a running batch has gone, the run is terminated. A lane that throws answers its
/// riders and goes on; a batch that fails runs again row by row, so that one bad input fails alone.
/// </remarks>
internal sealed partial class GraphQueue : IGraphQueue, IAsyncDisposable
{
    private readonly IGraphRunner runner;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly string model;
    private readonly long maxSequenceOutputBytes;
    private readonly Door door;
    private readonly WaitingRiders waiting;
    private readonly Channel<object> mailbox = Channel.CreateUnbounded<object>(new UnboundedChannelOptions { SingleReader = true });
    private readonly BlockingCollection<Batch> work = [];
    private readonly Thread[] lanes;
    private readonly Task loop;
    private int outstanding; // batches given to the lanes and not yet done; the loop's own

    /// <summary>Starts the loop and the lanes.</summary>
    public GraphQueue(IGraphRunner runner, QueueOptions options, int lanes, string model, ILogger logger, TimeProvider? time = null)
    {
        this.runner = runner;
        this.model = model;
        this.logger = logger;
        this.time = time ?? TimeProvider.System;
        maxSequenceOutputBytes = options.MaxSequenceOutputBytes;
        door = new Door(options);
        waiting = new WaitingRiders(runner, options, this.time);
        this.lanes = new Thread[lanes];
        for (var i = 0; i < lanes; i++)
        {
            this.lanes[i] = new Thread(Lane) { IsBackground = true, Name = $"lane {i} of {model}" };
            this.lanes[i].Start();
        }

        loop = Task.Run(LoopAsync);
    }

    /// <inheritdoc/>
    public Task<T> RunAsync<T>(GraphInput input, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context)
    {
        if (context.Cancellation.IsCancellationRequested)
        {
            return Task.FromCanceled<T>(context.Cancellation);
        }

        if (input.InputIds.Length == 0)
        {
            return Task.FromException<T>(InferenceException.Unprocessable(Argument.Of("Inputs"), $"The input has no tokens; send at least one."));
        }

        if (outputs.FirstOrDefault(o => !runner.HasOutput(o)) is { } unknown)
        {
            return Task.FromException<T>(new InferenceException(ErrorCode.Internal, $"The graph has no output '{unknown}'."));
        }

        var length = runner.Rules.Padded(input.InputIds.Length);
        var bytes = outputs.Sum(o => runner.OutputBytes(o, 1, length));
        if (bytes > maxSequenceOutputBytes)
        {
            return Task.FromException<T>(new InferenceException(
                ErrorCode.TooLarge,
                $"For an input of {length} tokens the model would put out {bytes} bytes; the limit is {maxSequenceOutputBytes}. Send a shorter input, or ask for fewer layers.")
            {
                Limit = nameof(QueueOptions.MaxSequenceOutputBytes),
            });
        }

        var rider = new Rider<T>(input, outputs, read, context, time.GetTimestamp());
        if (!door.TryEnter(rider, out var refusal))
        {
            // A request is answered as a whole: what of it already waits would be computed for nobody.
            mailbox.Writer.TryWrite(new Refused(context, refusal));
            return Task.FromException<T>(refusal);
        }

        rider.WatchCancellation(door);
        if (!mailbox.Writer.TryWrite(rider))
        {
            rider.LeaveQueue(door);
            rider.Fail(Closed());
        }

        return rider.Task;
    }

    /// <summary>Lets what runs end, answers what waits with <see cref="ErrorCode.Unavailable"/>, and ends the lanes.</summary>
    public async ValueTask DisposeAsync()
    {
        door.Close();
        mailbox.Writer.TryComplete();
        await loop.ConfigureAwait(false);
        work.CompleteAdding();
        await Task.Run(() => Array.ForEach(lanes, l => l.Join())).ConfigureAwait(false);
        work.Dispose();
    }

    private static InferenceException Closed() =>
        new(ErrorCode.Unavailable, $"The model is being taken out of service; try again in a moment.") { RetryAfter = TimeSpan.FromSeconds(1) };

    private async Task LoopAsync()
    {
        var reader = mailbox.Reader;
        while (await reader.WaitToReadAsync().ConfigureAwait(false))
        {
            try
            {
                while (reader.TryRead(out var message))
                {
                    Receive(message);
                }

                Dispatch();
            }
            catch (Exception e)
            {
                LogLoopFailed(logger, e, model); // a defect: without this the model would never answer again
                FailAll(waiting.RemoveAll(), new InferenceException(ErrorCode.Internal, $"The queue failed on what waited.", null, e));
            }
        }

        FailAll(waiting.RemoveAll(), Closed());
    }

    private void Receive(object message)
    {
        switch (message)
        {
            case Rider { IsDone: false } rider:
                waiting.Add(rider);
                break;
            case LaneDone done:
                outstanding--;
                if (done.Tokens > 0 && done.Elapsed > TimeSpan.Zero)
                {
                    door.Measured(done.Tokens / done.Elapsed.TotalSeconds * lanes.Length);
                }

                break;
            case Refused refused:
                FailAll(waiting.Remove(refused.Context), refused.Exception);
                break;
        }
    }

    private void Dispatch()
    {
        while (waiting.Count > 0)
        {
            var idle = lanes.Length - outstanding;
            if (idle < 0 || (idle == 0 && !waiting.FillsBatch))
            {
                return;
            }

            if (waiting.Pack(idle) is not { } batch)
            {
                return;
            }

            foreach (var rider in batch.Riders)
            {
                rider.LeaveQueue(door);
            }

            outstanding++;
            work.Add(batch);
        }
    }

    private void FailAll(IReadOnlyList<Rider> riders, InferenceException exception)
    {
        foreach (var rider in riders)
        {
            rider.LeaveQueue(door);
            rider.Fail(exception);
        }
    }

    private void Lane()
    {
        foreach (var batch in work.GetConsumingEnumerable())
        {
            var started = time.GetTimestamp();
            var tokens = 0;
            try
            {
                tokens = Run([.. batch.Riders.Where(r => !r.IsDone)], batch.Abandoned);
            }
            catch (Exception e)
            {
                LogLaneFailed(logger, e, model);
                foreach (var rider in batch.Riders)
                {
                    rider.Fail(new InferenceException(ErrorCode.Internal, $"The model failed on this input.", null, e));
                }
            }
            finally
            {
                foreach (var rider in batch.Riders)
                {
                    rider.Unwatch();
                }
            }

            mailbox.Writer.TryWrite(new LaneDone(tokens, time.GetElapsedTime(started)));
        }
    }

    // Returns how many tokens were computed.
    private int Run(Rider[] riders, CancellationToken abandoned)
    {
        if (riders.Length == 0)
        {
            return 0;
        }

        try
        {
            var started = time.GetTimestamp();
            var names = riders.SelectMany(r => r.Outputs).Distinct().ToArray();
            using var outputs = runner.Run(Array.ConvertAll(riders, r => new SequenceRow(r.Input.InputIds, r.Input.TypeIds)), names, abandoned);
            var ran = time.GetElapsedTime(started);
            for (var row = 0; row < riders.Length; row++)
            {
                var rider = riders[row];
                if (!rider.IsDone)
                {
                    rider.Context.AddRide(time.GetElapsedTime(rider.Enqueued, started), ran, riders.Length);
                    rider.Read(new RowOutputs(outputs, row, rider.Length));
                }
            }

            return riders.Sum(r => r.Length);
        }
        catch (OperationCanceledException) when (abandoned.IsCancellationRequested)
        {
            LogTerminated(logger, model, riders.Length);
            return 0;
        }
        catch (Exception e) when (riders.Length > 1)
        {
            LogBatchFailed(logger, e, model, riders.Length);
            return riders.Where(r => !r.IsDone).Sum(r => Run([r], abandoned));
        }
        catch (Exception e)
        {
            if (e is not InferenceException { Code: not ErrorCode.Internal })
            {
                LogRunFailed(logger, e, model, riders[0].Length);
            }

            riders[0].Fail(e as InferenceException ?? new InferenceException(ErrorCode.Internal, $"The model failed on this input.", null, e));
            return riders[0].Length;
        }
    }

    private sealed record LaneDone(int Tokens, TimeSpan Elapsed);

    private sealed record Refused(RequestContext Context, InferenceException Exception);
}
