using System.Globalization;
using InferenceServer.Engine.Batching;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Sessions;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tokenization;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Engine.Loading;

/// <summary>What the server understands of a model folder, for people.</summary>
/// <param name="Folder">Full path of the folder.</param>
/// <param name="Sections">What was understood, part by part.</param>
/// <param name="Problems">Everything that keeps the folder from being served, each with its remedy; empty when it can be served.</param>
public sealed record FolderReport(string Folder, IReadOnlyList<ReportSection> Sections, IReadOnlyList<string> Problems)
{
    /// <summary>True when nothing keeps the folder from being served.</summary>
    public bool CanBeServed => Problems.Count == 0;
}

/// <summary>A part of a report: a title and lines of text.</summary>
public sealed record ReportSection(string Title, IReadOnlyList<string> Lines);

/// <summary>
/// Reads a model folder part by part and goes on after a problem, so that all of them are told at once.
/// </summary>
/// <remarks>
/// 1. the files of the folder; 2. config.json; 3. which ONNX files; 4. each graph: inputs, outputs, precision, attention; 5. the sentence-transformers modules;
/// 6. the tokenizer; 7. a first run on the CPU, as the server makes one before a model is ready; 8. the tasks that all of it allows.
/// </remarks>
public static class FolderInspection
{
    private const int MostListed = 60;

    /// <summary>Inspects a folder. Never throws for what the folder holds.</summary>
    /// <param name="folder">Path of the folder.</param>
    /// <param name="fileSetting">The ONNX file to take, as the setting <c>Models:{folder}:File</c> would name it, or null.</param>
    public static FolderReport Inspect(string folder, string? fileSetting = null)
    {
        var root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        if (!Directory.Exists(root))
        {
            return new FolderReport(root, [], [$"There is no folder {root}. Give the path of a model folder."]);
        }

        var report = new Report();
        report.Try(() => report.Add("Files", ListFiles(root)));
        if (report.Try<bool?>(() => ModelManifest.IsModelFolder(root)) is false)
        {
            report.Problem("The folder has neither config.json nor an ONNX file: it is no model, and the server skips it.");
            return new FolderReport(root, report.Sections, report.Problems);
        }

        var notes = new List<string>();
        var config = report.Try(() => ManifestReader.Config(root, notes));
        if (config is not null)
        {
            report.Add("Configuration", Describe(config));
        }

        var set = report.Try(() => OnnxFileSet.Choose(root, fileSetting));
        GraphSummary? main = null;
        if (set is not null)
        {
            foreach (var file in OnnxFiles.In(set))
            {
                var name = Path.GetRelativePath(root, file);
                if (report.Try(() => OnnxGraph.Read(file, config ?? ModelConfig.From(default))) is { } graph)
                {
                    main ??= file == set.Main ? graph.Summary : null;
                    report.Add($"Graph {name}", Describe(graph.Summary));
                    report.Add($"Attention of {name}", DescribeAttention(graph.Summary, config));
                }
            }
        }

        var sentence = report.Try(() => SentenceReader.Read(root, notes));
        if (sentence is not null)
        {
            report.Add("Sentence embedding", Describe(sentence));
        }

        report.Try(() => JsonFile.ReadObject(root, "generation_config.json"));
        var tokenizer = report.Try(() => Tokenizer.Load(root));
        if (tokenizer is not null)
        {
            report.Try(() => report.Add("Tokenizer", Describe(tokenizer)));
            notes.AddRange(tokenizer.Notes);
        }

        if (tokenizer is not null && main is not null && config is not null && set is not null)
        {
            var run = report.Try(() => TryRun(set.Main, config, main, tokenizer, notes));
            report.Try(() => report.Add("Tasks", [Tasks(root, config, set, sentence, run ?? main, tokenizer)]));
            if (run is not null)
            {
                report.Add("First run", ["the graph runs what the tokenizer gives"]);
            }
        }

        report.Add("Notes", notes);
        return new FolderReport(root, report.Sections, report.Problems);
    }

    private static List<string> ListFiles(string root)
    {
        var files = Directory.EnumerateFiles(root, "*", new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 4, IgnoreInaccessible = true })
            .Order(StringComparer.Ordinal)
            .Take(MostListed + 1)
            .Select(file => $"{Path.GetRelativePath(root, file)}  {Size(new FileInfo(file).Length)}")
            .ToList();
        if (files.Count > MostListed)
        {
            files[MostListed] = "... and more";
        }

        return files;
    }

    private static List<string> Describe(ModelConfig config)
    {
        var lines = new List<string>();
        Add("model type", config.ModelType);
        Add("architectures", string.Join(", ", config.Architectures));
        Add("hidden size", config.HiddenSize);
        Add("layers", config.Layers);
        Add("heads", config.Heads);
        Add("key/value heads", config.KeyValueHeads == config.Heads ? null : config.KeyValueHeads);
        Add("head size", config.HeadSize);
        Add("decoder layers", config.DecoderLayers);
        Add("decoder heads", config.DecoderHeads);
        Add("most positions", config.MaxPositions);
        Add("vocabulary", config.VocabularySize);
        Add("labels", config.Labels.Count == 0 ? null : $"{config.Labels.Count}: {string.Join(", ", config.Labels.Take(12))}{(config.Labels.Count > 12 ? ", ..." : "")}");
        Add("problem type", config.ProblemType);
        return lines;

        void Add(string name, object? value)
        {
            if (value is not (null or ""))
            {
                lines.Add(string.Create(CultureInfo.InvariantCulture, $"{name}: {value}"));
            }
        }
    }

    private static List<string> Describe(GraphSummary graph)
    {
        List<string> lines =
        [
            $"made by {(graph.Producer.Length > 0 ? graph.Producer : "an unnamed program")}, opset {graph.Opset}, weights {graph.WeightType}{(graph.QuantizesActivations ? ", activations quantised by batch" : "")}",
            .. graph.Inputs.Select(input => $"input   {Describe(input)}"),
            .. graph.Outputs.Select(output => $"output  {Describe(output)}"),
        ];
        if (graph.PositionRows is { } rows)
        {
            lines.Add($"positions for {rows} tokens");
        }

        if (graph.ExternalData.Count > 0)
        {
            lines.Add($"weights in {string.Join(", ", graph.ExternalData)}");
        }

        return lines;
    }

    private static string Describe(GraphTensor tensor) => $"{tensor.Name}: {tensor.Type.ToString().ToLowerInvariant()} [{string.Join(", ", tensor.Shape ?? ["?"])}]";

    private static List<string> DescribeAttention(GraphSummary graph, ModelConfig? config)
    {
        if (graph.Attention.Count == 0)
        {
            return [$"not available: {graph.AttentionUnavailable}"];
        }

        var lines = graph.Attention.Select(tap => $"{tap.Kind.ToString().ToLowerInvariant()} layer {tap.Layer}: {tap.Tensor}").ToList();
        foreach (var kind in graph.Attention.GroupBy(tap => tap.Kind))
        {
            var wanted = kind.Key == AttentionKind.Encoder || config?.IsEncoderDecoder == false ? config?.Layers : config?.DecoderLayers;
            if (wanted is { } layers && layers != kind.Count())
            {
                lines.Add($"{kind.Count()} of {layers} {kind.Key.ToString().ToLowerInvariant()} layers can be read");
            }
        }

        return lines;
    }

    private static List<string> Describe(SentencePipeline sentence)
    {
        List<string> lines = [$"pooling read from {sentence.Source}"];
        lines.AddRange(sentence.Modules.Select(module => module switch
        {
            PoolingModule pooling => $"Pooling {string.Join(" + ", pooling.Modes)}{(pooling.IncludePrompt ? "" : ", without the prompt's tokens")}",
            DenseModule dense => $"Dense {dense.InFeatures} -> {dense.OutFeatures}, {dense.Activation}",
            LayerNormModule norm => $"LayerNorm {norm.Weight.Length}",
            _ => "Normalize",
        }));
        if (sentence.Prompts.Count > 0)
        {
            lines.Add($"prompts: {string.Join(", ", sentence.Prompts.Keys)}{(sentence.DefaultPrompt is { } prompt ? $" (default {prompt})" : "")}");
        }

        if (sentence.MaxSequenceLength is { } length)
        {
            lines.Add($"most tokens: {length}");
        }

        lines.Add($"similarity: {sentence.Similarity ?? "cosine (not named)"}");
        return lines;
    }

    private static List<string> Describe(Tokenizer tokenizer)
    {
        var lines = tokenizer.Parts.Select(part => $"{part.Key}: {part.Value}").ToList();
        lines.Add($"vocabulary: {tokenizer.VocabularySize}");
        if (tokenizer.ModelMaxLength is { } length)
        {
            lines.Add($"most tokens: {length}");
        }

        return lines;
    }

    private static GraphSummary TryRun(string file, ModelConfig config, GraphSummary graph, Tokenizer tokenizer, List<string> notes)
    {
        var device = ExecutionDevice.Resolve(new ExecutionOptions { Provider = ExecutionProvider.Cpu }, NullLogger.Instance);
        var (summary, session) = Open(file, config, device, notes);
        using (session)
        {
            session.PadId = config.PadTokenId ?? tokenizer.Named.Pad?.Id ?? 0;
            (summary, var note) = WarmUp.Run(session, summary, tokenizer, config.MaxPositions ?? graph.PositionRows ?? 512);
            if (note is not null)
            {
                notes.Add(note);
            }

            return summary;
        }
    }

    // With its attention exposed, so that a runtime that refuses this is told of here and not by the first attention request.
    private static (GraphSummary Summary, GraphSession Session) Open(string file, ModelConfig config, ExecutionDevice device, List<string> notes)
    {
        var graph = OnnxGraph.Read(file, config);
        try
        {
            return (graph.Summary, GraphSession.Load(graph.Summary, graph.IsEdited ? graph.ReadModel() : null, config, device));
        }
        catch (ModelLoadException e) when (graph.IsEdited)
        {
            var plain = graph.WithoutAttention($"The {device.Name} provider does not run this graph with its attention probabilities as outputs. Export the model with attn_implementation=eager.").Summary;
            var session = GraphSession.Load(plain, null, config, device);
            notes.Add($"Its attention cannot be read: {e.Message}");
            return (plain, session);
        }
    }

    private static string Tasks(string root, ModelConfig config, OnnxFileSet set, SentencePipeline? sentence, GraphSummary graph, Tokenizer tokenizer)
    {
        var model = new Model
        {
            Manifest = new ModelManifest { Id = Path.GetFileName(root), Folder = root, Config = config, Files = set, Sentence = sentence },
            Graph = graph,
            Tokenizer = tokenizer,
            Queue = new ClosedQueue(),
            MaxTokens = ((int?[])[config.MaxPositions, graph.PositionRows, tokenizer.ModelMaxLength, sentence?.MaxSequenceLength]).Min() ?? 512,
            Sha256 = new Lazy<string>(""),
        };
        return TaskCatalogue.NamesOf(model) is { Count: > 0 } names ? string.Join(", ", names) : "none: the graph has no output that a task knows";
    }

    private static string Size(long bytes) => bytes switch
    {
        >= 1 << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 30):0.0} GB"),
        >= 1 << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 20):0.0} MB"),
        >= 1 << 10 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 10):0.0} kB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes} bytes"),
    };

    /// <summary>Stands where a graph would run; an inspection runs none.</summary>
    private sealed class ClosedQueue : IGraphQueue
    {
        public Task<T> RunAsync<T>(GraphInput input, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context) =>
            throw new InferenceException(ErrorKind.Unavailable, "The model is being inspected, not served.");
    }

    /// <summary>Collects what is understood and what is wrong.</summary>
    private sealed class Report
    {
        public List<ReportSection> Sections { get; } = [];

        public List<string> Problems { get; } = [];

        public void Add(string title, List<string> lines)
        {
            if (lines.Count > 0)
            {
                Sections.Add(new ReportSection(title, lines));
            }
        }

        public void Problem(string problem)
        {
            if (!Problems.Contains(problem))
            {
                Problems.Add(problem);
            }
        }

        public void Try(Action read) => Try<object>(() =>
        {
            read();
            return null;
        });

        public T? Try<T>(Func<T?> read)
        {
            try
            {
                return read();
            }
            catch (ModelLoadException e)
            {
                Problem(e.Message);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Problem($"The folder cannot be read: {e.Message}");
            }

            return default;
        }
    }
}
