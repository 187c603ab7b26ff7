using System.Globalization;
using System.Security.Cryptography;
using InferenceServer.Engine.Batching;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Sessions;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tokenization;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Engine.Loading;

/// <summary>Loads every folder of the models directory into a <see cref="ModelCatalog"/>.</summary>
/// <remarks>
/// A folder becomes a model in these steps: (1) what the folder says of itself; (2) the tokenizer and, at the same time, the
/// graph and its session; (3) a warm-up that also finds out whether sequences may share a batch; (4) the queue. Every step may
/// refuse the folder with a reason; the others are served. Ids come from the directory's listing only, so no id leads elsewhere.
/// </remarks>
public sealed partial class ModelLoader : IAsyncDisposable
{
    private const int DefaultMaxTokens = 512; // for models without a table of positions whose files name no limit

    private readonly LoadingOptions options;
    private readonly ILoggerFactory loggers;
    private readonly ILogger logger;
    private readonly TimeProvider time;
    private readonly ExecutionDevice device;
    private readonly Lock gate = new();
    private readonly List<(ModelEntry Entry, GraphQueue Queue, IGraphRunner Session)> served = [];
    private bool disposed;

    /// <summary>Resolves the execution provider; nothing is loaded yet.</summary>
    /// <exception cref="ExecutionProviderException">The provider that was asked for cannot be used; one line that names cause and remedy.</exception>
    public ModelLoader(LoadingOptions options, ModelCatalog catalog, ILoggerFactory? loggers = null, TimeProvider? time = null)
    {
        this.options = options;
        Catalog = catalog;
        this.loggers = loggers ?? NullLoggerFactory.Instance;
        logger = this.loggers.CreateLogger<ModelLoader>();
        this.time = time ?? TimeProvider.System;
        device = ExecutionDevice.Resolve(options.Execution, this.loggers.CreateLogger<ExecutionDevice>());
    }

    /// <summary>The catalogue that is filled.</summary>
    public ModelCatalog Catalog { get; }

    /// <summary>Loads every folder, several at once, and returns when each is ready or failed. Throws only when cancelled; a failure is the entry's reason.</summary>
    public async Task LoadAsync(CancellationToken cancellation = default)
    {
        var folders = ModelFolders();
        foreach (var folder in folders)
        {
            Catalog.Set(new ModelEntry { Id = Path.GetFileName(folder), State = ModelState.Loading });
        }

        Catalog.IsStarting = false;
        foreach (var unknown in options.Files.Keys.Where(id => Catalog.Find(id) is null))
        {
            LogSettingWithoutFolder(logger, unknown);
        }

        var parallel = new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancellation };
        await Parallel.ForEachAsync(folders, parallel, (folder, token) => LoadFolderAsync(folder, token)).ConfigureAwait(false);
    }

    /// <summary>Lets what runs end, answers what waits with <see cref="ErrorKind.Unavailable"/>, releases the graphs.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (gate)
        {
            if (disposed)
            {
                return;
            }

            disposed = true;
        }

        await Task.WhenAll(served.Select(async model =>
        {
            await model.Queue.DisposeAsync().ConfigureAwait(false);
            model.Session.Dispose();
            Catalog.Set(model.Entry with { State = ModelState.Unloaded, Model = null });
        })).ConfigureAwait(false);
    }

    private List<string> ModelFolders()
    {
        if (!Directory.Exists(options.Directory))
        {
            LogNoDirectory(logger, options.Directory);
            return [];
        }

        var folders = new List<string>();
        foreach (var folder in Directory.EnumerateDirectories(options.Directory).Order(StringComparer.Ordinal))
        {
            var name = Path.GetFileName(folder);
            if (name.StartsWith('.'))
            {
                continue;
            }

            if (IsModelFolder(folder))
            {
                folders.Add(folder);
            }
            else
            {
                LogSkipped(logger, name);
            }
        }

        return folders;
    }

    // A folder that cannot be looked into is tried, so that it fails with a reason of its own and the others are served.
    private static bool IsModelFolder(string folder)
    {
        try
        {
            return ModelManifest.IsModelFolder(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return true;
        }
    }

    private async ValueTask LoadFolderAsync(string folder, CancellationToken cancellation)
    {
        var id = Path.GetFileName(folder);
        var started = time.GetTimestamp();
        ModelManifest? manifest = null;
        ModelEntry entry;
        try
        {
            manifest = ModelManifest.Read(folder, options.Files.GetValueOrDefault(id));
            entry = await LoadModelAsync(manifest, started, cancellation).ConfigureAwait(false);
            LogReady(logger, id, (long)entry.LoadTime.TotalMilliseconds);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            entry = Failed("Loading was cancelled.");
        }
        catch (ModelLoadException e)
        {
            entry = Failed(e.Message);
            LogFailed(logger, id, e.Message);
        }
        catch (Exception e)
        {
            entry = Failed($"An unexpected error ({e.GetType().Name}) kept it from loading; the server's log has the details.");
            LogUnexpected(logger, e, id);
        }

        Catalog.Set(entry);

        ModelEntry Failed(string reason) => new()
        {
            Id = id,
            State = ModelState.Failed,
            Reason = reason,
            Manifest = manifest,
            LoadTime = time.GetElapsedTime(started),
        };
    }

    private async Task<ModelEntry> LoadModelAsync(ModelManifest manifest, long started, CancellationToken cancellation)
    {
        var reading = Task.Run(() => Tokenizer.Load(manifest.Folder, options.TokenizerConfigs.GetValueOrDefault(manifest.Id), manifest.Id), cancellation);
        var notes = new List<string>(manifest.Notes);
        GraphSession? session = null;
        try
        {
            Tokenizer tokenizer;
            OnnxGraph graph;
            try
            {
                graph = OnnxGraph.Read(manifest.Files.Main, manifest.Config);
                session = GraphSession.Load(graph.Summary, null, manifest.Config, device);
            }
            finally
            {
                tokenizer = await reading.ConfigureAwait(false); // its failure is as good a reason as the graph's
            }

            notes.AddRange(tokenizer.Notes);
            session.PadId = manifest.Config.PadTokenId ?? tokenizer.Named.Pad?.Id ?? 0;
            cancellation.ThrowIfCancellationRequested();
            var maxTokens = MaxTokens(manifest, graph.Summary, tokenizer, session, notes);
            var (summary, note) = WarmUp.Run(session, graph.Summary, tokenizer, maxTokens);
            if (note is not null)
            {
                notes.Add(note);
            }

            foreach (var told in notes)
            {
                LogNote(logger, manifest.Id, told);
            }

            return Serve(manifest, summary, tokenizer, WithAttention(graph, session, manifest), maxTokens, notes, started);
        }
        catch
        {
            session?.Dispose();
            throw;
        }
    }

    // Attention that the file does not give is exposed in a session of its own, opened when it is first asked for.
    private IGraphRunner WithAttention(OnnxGraph graph, GraphSession plain, ModelManifest manifest)
    {
        var taps = graph.Summary.Attention.Select(t => t.Output).Where(o => !plain.HasOutput(o)).ToHashSet(StringComparer.Ordinal);
        return taps.Count == 0
            ? plain
            : new TappedGraph(plain, taps, () => GraphSession.Load(graph.Summary, graph.ReadModel(), manifest.Config, device), options.Queue.MaxSequenceOutputBytes);
    }

    private ModelEntry Serve(ModelManifest manifest, GraphSummary summary, Tokenizer tokenizer, IGraphRunner session, int maxTokens, List<string> notes, long started)
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(disposed, this);
            var queue = new GraphQueue(session, options.Queue, device.Lanes, manifest.Id, loggers.CreateLogger<GraphQueue>(), time);
            var file = manifest.Files.Main;
            var entry = new ModelEntry
            {
                Id = manifest.Id,
                State = ModelState.Ready,
                Model = new Model
                {
                    Manifest = manifest,
                    Graph = summary,
                    Tokenizer = tokenizer,
                    Queue = queue,
                    MaxTokens = maxTokens,
                    Sha256 = new Lazy<string>(() => Sha256(file)),
                },
                Manifest = manifest,
                Provider = device.Name,
                Lanes = device.Lanes,
                Threads = device.Threads,
                LoadTime = time.GetElapsedTime(started),
                Notes = notes,
            };
            served.Add((entry, queue, session));
            return entry;
        }
    }

    // The smallest of what the files say.
    private static int MaxTokens(ModelManifest manifest, GraphSummary graph, Tokenizer tokenizer, GraphSession session, List<string> notes)
    {
        int?[] limits = [manifest.Config.MaxPositions, graph.PositionRows, tokenizer.ModelMaxLength, manifest.Sentence?.MaxSequenceLength, session.Rules.FixedLength];
        if (limits.Min() is { } limit)
        {
            return limit;
        }

        notes.Add(string.Create(CultureInfo.InvariantCulture, $"No file says how many tokens a sequence may have; {DefaultMaxTokens} are allowed. Set model_max_length in tokenizer_config.json to change it."));
        return DefaultMaxTokens;
    }

    // A file that has gone since it was loaded costs the hash, not the answers that name it.
    private static string Sha256(string file)
    {
        try
        {
            using var stream = File.OpenRead(file);
            return Convert.ToHexStringLower(SHA256.HashData(stream));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
