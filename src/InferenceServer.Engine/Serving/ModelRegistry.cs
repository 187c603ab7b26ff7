using System.Collections.Concurrent;
using System.Globalization;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Engine.Serving;

/// <summary>The models of the models directory by id: what is served, and how it comes and goes. Thread-safe; operations on one model run one after the other.</summary>
/// <remarks>
/// All models share the workers of one device. A request takes a lease (<see cref="Acquire"/>) and works with the model that it got, whatever happens to its id
/// meanwhile. A reload serves the new model only when it is warm; one that fails keeps the old. Ids come from the directory's listing only, so no id leads elsewhere.
/// </remarks>
public sealed partial class ModelRegistry : IAsyncDisposable
{
    private static readonly TimeSpan CompanionWait = TimeSpan.FromMilliseconds(2); // longer than a client needs to read an answer and ask again

    private static readonly TimeSpan SlotTime = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan EndTime = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan TerminationTime = TimeSpan.FromSeconds(2);

    private readonly LoadingOptions options;
    private readonly ILogger logger;
    private readonly TimeProvider time;
    private readonly ExecutionDevice device;
    private readonly ModelBuilder builder;
    private readonly Scheduler scheduler;
    private readonly Calibration calibration;
    private readonly WorkerPool workers;
    private readonly ConcurrentDictionary<string, ServedModel> models = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource ending = new();
    private int disposed;

    /// <summary>Resolves the execution provider and starts the workers; nothing is loaded yet.</summary>
    /// <exception cref="ExecutionProviderException">The provider that was asked for cannot be used; one line that names cause and remedy.</exception>
    public ModelRegistry(LoadingOptions options, ILoggerFactory? loggers = null, TimeProvider? time = null)
    {
        loggers ??= NullLoggerFactory.Instance;
        this.options = options;
        this.time = time ?? TimeProvider.System;
        logger = loggers.CreateLogger<ModelRegistry>();
        device = ExecutionDevice.Resolve(options.Execution, loggers.CreateLogger<ExecutionDevice>());
        builder = new ModelBuilder(device, options, this.time);
        var batchTokens = options.Queue.BatchTokens(device.IsGpu);
        scheduler = new Scheduler(device.Workers, options.Queue, new BatchPlanner(options.Queue, batchTokens, device.Threads), this.time, CompanionWait, options.Queue.RunBytes(device.IsGpu, options.Execution.MemoryLimit));
        var runTimeout = TimeSpan.FromSeconds(options.Execution.RunTimeoutSeconds);
        calibration = new Calibration(scheduler, device.Threads, batchTokens, new CostStore(device.CacheDirectory, e => LogNothingKept(logger, e.Message)), runTimeout);
        workers = new WorkerPool(scheduler, loggers.CreateLogger<WorkerPool>(), calibration, runTimeout);
    }

    /// <summary>All models, by id.</summary>
    public IReadOnlyList<ServedModel> Models => [.. models.Values.OrderBy(m => m.Id, StringComparer.Ordinal)];

    /// <summary>True until the models directory has been listed for the first time.</summary>
    public bool IsStarting { get; private set; } = true;

    /// <summary>True when nothing is loading and at least one model is ready.</summary>
    public bool IsReady => !IsStarting && !models.Values.Any(m => m.Status.State == ModelState.Loading) && models.Values.Any(m => m.Status.State == ModelState.Ready);

    /// <summary>The model of that id, or null.</summary>
    public ServedModel? Find(string id) => models.GetValueOrDefault(id);

    /// <summary>The model of that id, whatever it is doing.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.UnknownModel"/>; the message names the known ids.</exception>
    public ServedModel Get(string id) => Find(id) ?? throw Unknown(id);

    /// <summary>A lease on the ready model of that id. Disposing gives it back.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.UnknownModel"/>, <see cref="ErrorCode.NotLoaded"/> or <see cref="ErrorCode.Unavailable"/>.</exception>
    public ModelLease Acquire(string id) => Get(id).Acquire();

    /// <summary>Loads every folder of the models directory, several at once, and returns when each is ready or failed. Throws only when cancelled; a failure is the model's reason.</summary>
    public async Task LoadAllAsync(CancellationToken cancellation = default)
    {
        var ids = Folders();
        foreach (var id in ids)
        {
            models.TryAdd(id, new ServedModel(id));
        }

        IsStarting = false;
        foreach (var unknown in options.Models.Keys.Where(id => Find(id) is null))
        {
            LogSettingWithoutFolder(logger, unknown);
        }

        using var slots = new SemaphoreSlim(Environment.ProcessorCount);
        var loads = new List<Task>();
        try
        {
            foreach (var id in ids)
            {
                await slots.WaitAsync(cancellation).ConfigureAwait(false);
                loads.Add(LoadInSlotAsync(id, slots, cancellation));
            }
        }
        finally
        {
            await Task.WhenAll(loads).ConfigureAwait(false);
        }

        cancellation.ThrowIfCancellationRequested();
    }

    /// <summary>Loads a model of the models directory that is not loaded; no effect on one that is ready. Gives what became of it.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.UnknownModel"/>: there is no such folder.</exception>
    public async Task<ModelStatus> LoadAsync(string id, CancellationToken cancellation = default)
    {
        var model = Find(id) ?? (Folders().Contains(id) ? models.GetOrAdd(id, new ServedModel(id)) : throw Unknown(id));
        return await AloneAsync(model, async () =>
        {
            if (model.Status.State == ModelState.Ready)
            {
                return;
            }

            model.Set(new ModelStatus { Id = id, State = ModelState.Loading, Generation = model.Status.Generation }, null);
            var (status, loaded) = await BuildAsync(model, cancellation).ConfigureAwait(false);
            model.Set(status, loaded);
        }).ConfigureAwait(false);
    }

    /// <summary>Takes a model out of service: no new requests, those that have begun end, then its memory is given back.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.UnknownModel"/>.</exception>
    public Task<ModelStatus> UnloadAsync(string id)
    {
        var model = Get(id);
        return AloneAsync(model, async () =>
        {
            var status = new ModelStatus { Id = id, State = ModelState.Unloaded, Manifest = model.Status.Manifest, Generation = model.Status.Generation };
            if (model.Set(status, null) is { } old)
            {
                await old.RetireAsync(ending.Token).ConfigureAwait(false);
                LogUnloaded(logger, id);
            }
        });
    }

    /// <summary>
    /// Reads the folder of a model again and serves what is found there; requests that have begun end with the old one, and none fails. When the new one cannot be
    /// served the old one stays; the answer then says why (its state is failed, the model's own status still ready).
    /// </summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.UnknownModel"/>.</exception>
    public async Task<ModelStatus> ReloadAsync(string id, CancellationToken cancellation = default)
    {
        var model = Get(id);
        var outcome = model.Status;
        await AloneAsync(model, async () =>
        {
            var (status, loaded) = await BuildAsync(model, cancellation).ConfigureAwait(false);
            outcome = status;
            if (loaded is null && model.Loaded is not null)
            {
                return;
            }

            if (model.Set(status, loaded) is { } old)
            {
                await old.RetireAsync(ending.Token).ConfigureAwait(false);
            }
        }).ConfigureAwait(false);
        return outcome;
    }

    /// <summary>
    /// Ends loading, lets what runs end, answers what waits with <see cref="ErrorCode.Unavailable"/>, and releases every model, leases or not: the server ends. What does not
    /// end by itself is terminated; what even then does not (inside one operator of ONNX Runtime) is left behind on a background thread.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
        {
            return;
        }

        await ending.CancelAsync().ConfigureAwait(false);
        var unloading = Task.WhenAll(models.Values.Select(model => UnloadAsync(model.Id)));
        if (!await EndsAsync(unloading, EndTime).ConfigureAwait(false))
        {
            scheduler.Terminate();
            await EndsAsync(unloading, TerminationTime).ConfigureAwait(false);
        }

        if (!workers.Stop(TerminationTime) || !unloading.IsCompleted)
        {
            LogLeftBehind(logger);
            return;
        }

        await unloading.ConfigureAwait(false);
        ending.Dispose();
    }

    // One that takes long lets the next begin, so that a few without an end do not keep all others waiting.
    private async Task LoadInSlotAsync(string id, SemaphoreSlim slots, CancellationToken cancellation)
    {
        var load = LoadAsync(id, cancellation);
        using (var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellation))
        {
            await Task.WhenAny(load, Task.Delay(SlotTime, time, ended.Token)).ConfigureAwait(false);
            await ended.CancelAsync().ConfigureAwait(false);
        }

        slots.Release();
        await load.ConfigureAwait(false);
    }

    private static async Task<bool> EndsAsync(Task task, TimeSpan patience)
    {
        await Task.WhenAny(task, Task.Delay(patience)).ConfigureAwait(false);
        return task.IsCompleted;
    }

    private static async Task<ModelStatus> AloneAsync(ServedModel model, Func<Task> operation)
    {
        await model.Operation.WaitAsync().ConfigureAwait(false);
        try
        {
            await operation().ConfigureAwait(false);
            return model.Status;
        }
        finally
        {
            model.Operation.Release();
        }
    }

    private async Task<(ModelStatus Status, LoadedModel? Loaded)> BuildAsync(ServedModel model, CancellationToken cancellation)
    {
        var id = model.Id;
        var started = time.GetTimestamp();
        try
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, ending.Token);
            var parts = await builder.BuildAsync(ModelFolders.PathOf(options.Directory, id), id, ProblemSink.Stopping, either.Token).ConfigureAwait(false);
            parts.Notes.ForEach(note => LogNote(logger, id, note));
            var (status, loaded) = Serve(parts, model.Status.Generation + 1);
            status = status with { LoadTime = time.GetElapsedTime(started) };
            LogReady(logger, id, (long)status.LoadTime.TotalMilliseconds);
            return (status, loaded);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested || ending.IsCancellationRequested)
        {
            return (Failed("Loading was cancelled."), null);
        }
        catch (ModelLoadException e)
        {
            LogFailed(logger, id, e.Message);
            return (Failed(e.Message), null);
        }
        catch (Exception e)
        {
            LogUnexpected(logger, e, id);
            return (Failed($"An unexpected error ({e.GetType().Name}) kept it from loading; the server's log has the details."), null);
        }

        ModelStatus Failed(string reason) => new()
        {
            Id = id,
            State = ModelState.Failed,
            Reason = reason,
            LoadTime = time.GetElapsedTime(started),
            Generation = model.Status.Generation,
        };
    }

    private (ModelStatus Status, LoadedModel Loaded) Serve(ModelParts parts, int generation)
    {
        var manifest = parts.Manifest!;
        var admission = new Admission(options.Queue, manifest.Id, time);
        parts.Graph!.OpeningFailed = e => LogCannotOpen(logger, manifest.Id, e.RetryAfter is null ? "never" : string.Create(CultureInfo.InvariantCulture, $"{e.RetryAfter.Value.TotalSeconds} s from now at the earliest"), e.Message);
        var executor = new GraphExecutor(manifest.Id, parts.Graph!, admission, scheduler);
        var decoders = parts.Decoder?.ExecutorsOf(executor, graph => graph == parts.Graph ? executor : new GraphExecutor(manifest.Id, graph, admission, scheduler));
        var generator = decoders is null ? null : parts.Decoder!.ToGenerator(decoders, executor, parts, options.Generation, time);
        var model = parts.ToModel(executor, generator);
        _ = model.Capabilities.Tasks; // computed here, not by the first request
        _ = model.Sha256.Value; // in the background
        calibration.Add(executor, parts.Graph!.Key, parts.MaxTokens);
        var loaded = new LoadedModel(model, admission, async () =>
        {
            calibration.Remove(executor);
            if (generator is not null)
            {
                await generator.DisposeAsync().ConfigureAwait(false);
                await decoders!.First.DisposeAsync().ConfigureAwait(false);
                await decoders.Next.DisposeAsync().ConfigureAwait(false);
            }

            await executor.DisposeAsync().ConfigureAwait(false);
            parts.Dispose();
        });
        var status = new ModelStatus
        {
            Id = manifest.Id,
            State = ModelState.Ready,
            Model = model,
            Manifest = manifest,
            Provider = device.Name,
            Workers = device.Workers,
            Threads = device.Threads,
            Notes = parts.Notes,
            Generation = generation,
        };
        return (status, loaded);
    }

    private List<string> Folders()
    {
        if (!Directory.Exists(options.Directory))
        {
            LogNoDirectory(logger, options.Directory);
            return [];
        }

        return [.. ModelFolders.List(options.Directory, (name, why) => LogSkipped(logger, name, why)).Keys];
    }


    private InferenceException Unknown(string id)
    {
        const int shown = 20;
        var known = Models.Select(m => $"'{m.Id}'").ToList();
        var list = known.Count switch
        {
            0 when IsStarting => "the models are still being listed",
            0 => "no model is known",
            > shown => $"known are {string.Join(", ", known.Take(shown))} and {known.Count - shown} more",
            _ => $"known are {string.Join(", ", known)}",
        };
        var name = id.Length > 100 ? id[..100] + "..." : id;
        return new InferenceException(ErrorCode.UnknownModel, $"There is no model '{name}'; {list}.", Argument.Of("Model"));
    }
}
