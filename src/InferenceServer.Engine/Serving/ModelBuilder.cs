using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Generation.ChatTemplates;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Serving;

/// <summary>What was made of a folder, part by part; a part is null where it had a problem.</summary>
internal sealed class ModelParts : IDisposable
{
    /// <summary>config.json.</summary>
    public ModelConfig? Config { get; set; }

    /// <summary>Which ONNX files are loaded.</summary>
    public OnnxFileSet? Files { get; set; }

    /// <summary>What all of the folder's descriptions say together.</summary>
    public ModelManifest? Manifest { get; set; }

    /// <summary>The main graph as its file has it.</summary>
    public OnnxGraph? File { get; set; }

    /// <summary>The tokenizer.</summary>
    public Tokenizer? Tokenizer { get; set; }

    /// <summary>The graph, open and warmed up.</summary>
    public Graph? Graph { get; set; }

    /// <summary>What the graph says, with the shapes that the first runs showed.</summary>
    public GraphSummary? Summary { get; set; }

    /// <summary>What generates text, with graphs of its own; null where nothing does.</summary>
    public DecoderParts? Decoder { get; set; }

    /// <summary>What conversations are rendered by.</summary>
    public ChatTemplate? ChatTemplate { get; set; }

    /// <summary>Why the folder's chat template cannot be used.</summary>
    public string? NoChatTemplate { get; set; }

    /// <summary>Why a language model generates no text; null where that needs no reason.</summary>
    public string? NoGenerator { get; set; }

    /// <summary>Most tokens of a sequence.</summary>
    public int MaxTokens { get; set; }

    /// <summary>What says so.</summary>
    public string MaxTokensSource { get; set; } = "";

    /// <summary>What a person set for the model.</summary>
    public ModelSettings Settings { get; init; } = ModelSettings.None;

    /// <summary>What a person should know that does not keep the model from being served.</summary>
    public List<string> Notes { get; } = [];

    /// <summary>The model of all parts, none of which is null.</summary>
    public Model ToModel(IGraphExecutor executor, Generator? generator = null)
    {
        var file = Manifest!.Files.Main;
        return new Model
        {
            Manifest = Manifest,
            Graph = Summary!,
            Tokenizer = Tokenizer!,
            Executor = executor,
            MaxTokens = MaxTokens,
            MaxTokensSource = MaxTokensSource,
            Settings = Settings,
            Generator = generator,
            CanGenerate = Decoder is not null,
            DecoderGraph = Decoder?.Summary,
            DecoderSha256 = Decoder?.Summary is { } decoder ? new Lazy<Task<string>>(() => Task.Run(() => ModelBuilder.Sha256(decoder.File))) : null,
            NoGenerator = NoGenerator,
            ChatTemplate = ChatTemplate,
            NoChatTemplate = NoChatTemplate,
            Sha256 = new Lazy<Task<string>>(() => Task.Run(() => ModelBuilder.Sha256(file))),
        };
    }

    /// <summary>Closes the graphs.</summary>
    public void Dispose()
    {
        Decoder?.Dispose();
        Graph?.Dispose();
    }
}

/// <summary>The one way from a folder to a model, for the server and for an inspection alike: what an inspection says is what the server does.</summary>
/// <remarks>
/// (1) config.json; (2) which ONNX files; (3) generation_config.json and the sentence-transformers modules; (4) the tokenizer and, at the same time, (5) the main graph
/// and its session; (6) the limit of tokens; (7) a warm-up that also finds out whether sequences may share a batch. A step is taken when what it needs is there.
/// </remarks>
/// <param name="device">Where graphs run.</param>
/// <param name="options">What is set for each folder.</param>
/// <param name="time">The clock.</param>
internal sealed class ModelBuilder(ExecutionDevice device, LoadingOptions options, TimeProvider time)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2); // after a cancellation, which a run obeys between two operators

    private const int DefaultMaxTokens = 512; // for models without a table of positions whose files name no limit

    private readonly ConcurrentDictionary<string, Task> abandoned = new(StringComparer.Ordinal);

    /// <summary>
    /// Makes the parts of a model on a thread of its own, within <see cref="ExecutionOptions.LoadTimeoutSeconds"/>. A graph that does not end then is told to; where ONNX
    /// Runtime does not obey (it is inside one operator), its thread is left behind, and the folder is not tried again until it has come back.
    /// </summary>
    /// <exception cref="ModelLoadException">The first problem, where <paramref name="problems"/> stops at it, or the time was over.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async Task<ModelParts> BuildAsync(string folder, string id, ProblemSink problems, CancellationToken cancellation = default)
    {
        if (abandoned.TryGetValue(folder, out var earlier) && !earlier.IsCompleted)
        {
            throw new ModelLoadException("Its last loading was given up and still computes inside ONNX Runtime. Replace the graph by one that comes to an end, and restart the server.");
        }

        var limit = TimeSpan.FromSeconds(options.Execution.LoadTimeoutSeconds);
        var deadline = new CancellationTokenSource(limit, time);
        var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, deadline.Token);
        var ended = either.Token; // taken before the sources may be disposed, which a folder that fails at once does
        var progress = new BuildProgress();
        var building = Task.Factory.StartNew(() => Build(folder, id, problems, progress, ended), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        _ = building.ContinueWith(
            _ =>
            {
                either.Dispose();
                deadline.Dispose();
            },
            TaskScheduler.Default);
        try
        {
            try
            {
                return await building.WaitAsync(ended).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!building.IsCompleted)
            {
                return await building.WaitAsync(Patience, CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or TimeoutException)
        {
            if (!building.IsCompleted)
            {
                abandoned[folder] = building.ContinueWith(static late => late.IsCompletedSuccessfully ? late.Result : null, TaskScheduler.Default).ContinueWith(static late => late.Result?.Dispose(), TaskScheduler.Default);
            }

            cancellation.ThrowIfCancellationRequested();
            throw new ModelLoadException(
                string.Create(CultureInfo.InvariantCulture, $"It was not ready after {limit.TotalSeconds:0.###} seconds, the longest time that a folder may take: {progress.Step} did not come to an end. Replace the graph, or raise the limit where the model is only large."), e);
        }
    }

    /// <summary>Makes the parts of a model; on the caller's thread.</summary>
    /// <exception cref="ModelLoadException">The first problem, where <paramref name="problems"/> stops at it.</exception>
    /// <param name="folder">The folder.</param>
    /// <param name="id">The model's id.</param>
    /// <param name="problems">What becomes of a problem.</param>
    /// <param name="progress">What it is at.</param>
    /// <param name="cancellation">Ends it.</param>
    private ModelParts Build(string folder, string id, ProblemSink problems, BuildProgress progress, CancellationToken cancellation)
    {
        var root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        if (!Directory.Exists(root))
        {
            throw new ModelLoadException($"There is no folder '{Path.GetFileName(root)}' in the models directory.");
        }

        var settings = options.Models.GetValueOrDefault(id, ModelSettings.None);
        var reading = Task.Run(() => problems.Try(() => Tokenizer.Load(root, settings.TokenizerConfig, id)), cancellation);
        var parts = new ModelParts { Settings = settings };
        try
        {
            parts.Config = problems.Try(() => ManifestReader.Config(root, parts.Notes));
            parts.Files = problems.Try(() => OnnxFiles.Choose(root, settings.File, id));
            var sentence = problems.Try(() => SentenceReader.Read(root, id, parts.Notes));
            parts.Manifest = problems.Try(() => ManifestReader.Read(root, id, parts.Config, parts.Files, sentence, parts.Notes));
            if (parts.Files is { } files)
            {
                parts.File = problems.Try(() => OnnxGraph.Read(files.Main, parts.Config ?? ModelConfig.From(default), settings.AccuracyLevel));
            }

            if (parts is { File: { } file, Config: { } config })
            {
                progress.Step = "opening its graph";
                parts.Graph = problems.Try(() => Graph.Open(new GraphSource(file.Summary, config, path => Expose(file, path, config), Given(root, id, settings, file.Summary.File)) { Rewrite = RewriteOf(file, config), AccuracyLevel = settings.AccuracyLevel, AtAccuracy = file.AtAccuracy, ExposeParts = file.ReadModelWithParts, ExposeHeadMask = file.ReadModelWithHeadMask }, device, time, cancellation));
            }

            progress.Step = "reading its tokenizer";
            parts.Tokenizer = reading.WaitAsync(cancellation).GetAwaiter().GetResult(); // its failure is as good a reason as the graph's
            parts.Notes.AddRange(parts.Tokenizer?.Notes ?? []);
            cancellation.ThrowIfCancellationRequested();
            progress.Step = "a first run of its graph";
            WarmUpAndLimit(parts, problems, options.Queue.BatchTokens(device.IsGpu), cancellation);
            cancellation.ThrowIfCancellationRequested();
            progress.Step = "opening its decoder";
            AddDecoder(parts, cancellation);
            return parts;
        }
        catch
        {
            parts.Dispose();
            reading.ContinueWith(static r => r.Exception, TaskScheduler.Default);
            throw;
        }
    }

    /// <summary>The form of a decoder's graph that computes its steps faster; null when it is of another kind.</summary>
    internal static GraphRewrite? RewriteOf(OnnxGraph file, ModelConfig config) =>
        file.Rewrite(config) is { } rewrite ? new GraphRewrite(DecoderRewrite.Version, rewrite.Tables, rewrite.Positions, rewrite.TableModel, rewrite.Apply) : null;

    /// <summary>SHA-256 of a file, lower-case hex; empty when it cannot be read any more: that costs the hash, not the answers that name it.</summary>
    public static string Sha256(string file)
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

    private static void WarmUpAndLimit(ModelParts parts, ProblemSink problems, int batchTokens, CancellationToken cancellation)
    {
        if (parts is not { Graph: { } graph, Tokenizer: { } tokenizer, Manifest: { } manifest, File: { } file })
        {
            return;
        }

        graph.PadId = manifest.Config.PadTokenId ?? tokenizer.Named.Pad?.Id ?? 0;
        graph.FirstPosition = FirstPosition(manifest.Config, file.Summary);
        (parts.MaxTokens, parts.MaxTokensSource) = Limit(parts, manifest, file.Summary, tokenizer, graph);
        parts.Summary = problems.Try(() =>
        {
            var (summary, note) = WarmUp.Run(graph, file.Summary, tokenizer, manifest, parts.MaxTokens, batchTokens, cancellation);
            if (note is not null)
            {
                parts.Notes.Add(note);
            }

            return summary;
        });
        if (parts.Summary is not null)
        {
            var model = parts.ToModel(NoExecutor.Instance); // what it can do is read, nothing runs
            problems.Try<object>(() =>
            {
                ModelNotes.RequireFitting(model);
                parts.Notes.AddRange(ModelNotes.Of(model));
                return parts;
            });
        }

        if (graph.NotRewritten is { } obstacle)
        {
            parts.Notes.Add($"Its attention runs in the file's own small operators, which makes generation slower: {obstacle}.");
        }

        if (graph.NotShared is { } reason)
        {
            parts.Notes.Add($"The variants of its graph do not share one copy of the weights: {reason}.");
        }
    }

    // A model whose decoder cannot be used still has its other tasks.
    private void AddDecoder(ModelParts parts, CancellationToken cancellation)
    {
        if (parts is not { Graph: { } graph, Tokenizer: { } tokenizer, Manifest: { } manifest, Summary: { } summary })
        {
            return;
        }

        try
        {
            parts.Decoder = DecoderParts.Open(graph, summary, manifest, tokenizer, parts.ToModel(NoExecutor.Instance).Capabilities.Head, parts.Settings.AccuracyLevel, device, time, cancellation);
            parts.Notes.AddRange(parts.Decoder?.Notes ?? []);
            if (parts.Decoder is not null)
            {
                parts.Notes.AddRange(manifest.Generation.Notes);
                parts.Notes.AddRange(DecoderParts.NotesOf(manifest, tokenizer));
                AddChatTemplate(parts, manifest.Folder);
            }
        }
        catch (ModelLoadException e)
        {
            parts.NoGenerator = e.Message;
            parts.Notes.Add($"It generates no text: {e.Message}");
        }
    }

    private void AddChatTemplate(ModelParts parts, string folder)
    {
        if (ChatTemplateFiles.Read(folder, parts.Notes) is not { } template)
        {
            return;
        }

        try
        {
            parts.ChatTemplate = ChatTemplate.Parse(template.Source, time);
        }
        catch (ChatTemplateException e)
        {
            parts.NoChatTemplate = $"The chat template of {template.File} cannot be read ({e.Message}).";
            parts.Notes.Add($"{parts.NoChatTemplate} Conversations are refused; prompts are served.");
        }
    }

    private static GivenInputs Given(string root, string id, ModelSettings settings, string file)
    {
        var text = OnnxFiles.All(root).FirstOrDefault(name => Path.GetFileName(name).StartsWith("text_model", StringComparison.Ordinal) && Path.GetFullPath(name, root) != file);
        return new GivenInputs($"Models:{id}", settings.Inputs, text);
    }

    /// <summary>
    /// Where <c>position_ids</c> begin. Tables of RoBERTa's kind number text from the padding id + 1 and have as many rows more than a round number of positions, which
    /// config.json and the graph's table say both; any other begins at 0.
    /// </summary>
    internal static int FirstPosition(ModelConfig config, GraphSummary graph) =>
        graph.Inputs.Any(i => i.Name.StartsWith("position_ids", StringComparison.Ordinal)) && graph.PositionRows is { } rows && config.PadTokenId is >= 0 and < 64 && config.MaxPositions == rows - config.PadTokenId - 1
            ? config.PadTokenId.Value + 1
            : 0;

    /// <summary>The bytes of a file with its attention as outputs. An optimized copy must show the very attention of the original: nothing may have been fused away or renamed.</summary>
    private static byte[]? Expose(OnnxGraph original, string path, ModelConfig config)
    {
        if (path == original.Summary.File)
        {
            return original.ReadModel();
        }

        var copy = OnnxGraph.Read(path, config);
        return copy.Summary.Attention.Select(tap => (tap.Kind, tap.Layer, tap.Output)).SequenceEqual(original.Summary.Attention.Select(tap => (tap.Kind, tap.Layer, tap.Output)))
            ? copy.ReadModel()
            : null;
    }

    // A setting, else max_seq_length, else model_max_length; positions and the graph's own tables bound each.
    private static (int Tokens, string Source) Limit(ModelParts parts, ModelManifest manifest, GraphSummary graph, Tokenizer tokenizer, Graph session)
    {
        var sentence = manifest.Sentence;
        var file = Path.GetFileName(graph.File);
        (int? Tokens, string Source) asked = parts.Settings.MaxTokens is { } set ? (set, $"the setting Models:{manifest.Id}:MaxTokens")
            : sentence?.MaxSequenceLength is { } length ? (length, $"max_seq_length of {sentence.LengthFile ?? "sentence_bert_config.json"}")
            : (tokenizer.ModelMaxLength, "model_max_length of tokenizer_config.json");
        if (parts.Settings.MaxTokens is null && sentence?.MaxSequenceLength is { } own && tokenizer.ModelMaxLength < own)
        {
            parts.Notes.Add(string.Create(CultureInfo.InvariantCulture, $"{asked.Source} is {own} and replaces model_max_length of tokenizer_config.json, which is {tokenizer.ModelMaxLength}. Set Models:{manifest.Id}:MaxTokens to change it."));
        }

        (int? Tokens, string Source)[] limits =
        [
            asked, (manifest.Config.MaxPositions, "the positions of config.json"), (graph.PositionRows - session.FirstPosition, $"the table of positions in {file}"), (session.Constraints.FixedLength, $"the fixed length of {file}"),
        ];
        var (least, source) = limits.Where(limit => limit.Tokens is not null).DefaultIfEmpty().MinBy(limit => limit.Tokens);
        if (least is { } tokens)
        {
            return (tokens, source);
        }

        parts.Notes.Add(string.Create(CultureInfo.InvariantCulture, $"No file says how many tokens a sequence may have; {DefaultMaxTokens} are allowed. Set Models:{manifest.Id}:MaxTokens to change it."));
        return (DefaultMaxTokens, "no file names a limit");
    }

    /// <summary>What a building is at, for the reason of one that does not end.</summary>
    private sealed class BuildProgress
    {
        private volatile string step = "reading its files";

        /// <summary>A step, as the subject of a sentence.</summary>
        public string Step
        {
            get => step;
            set => step = value;
        }
    }

    /// <summary>Stands for the way to a graph while a model is only looked at.</summary>
    private sealed class NoExecutor : IGraphExecutor
    {
        public static readonly NoExecutor Instance = new();

        public Task<T[]> RunAsync<T>(IReadOnlyList<GraphInput> inputs, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context) =>
            Task.FromException<T[]>(new InvalidOperationException("The model is only looked at."));
    }
}
