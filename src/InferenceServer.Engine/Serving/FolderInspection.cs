using System.Globalization;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tokenization;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Engine.Serving;

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

/// <summary>What <see cref="ModelBuilder"/> makes of a folder, told to people: the very steps of the server, but gone on with after a problem, so that all of them are told at once.</summary>
public static class FolderInspection
{
    private const int MostListed = 60;

    /// <summary>Inspects a folder. Never throws for what the folder holds.</summary>
    /// <param name="folder">Path of the folder.</param>
    /// <param name="options">What the server would be started with, or null for the defaults on the CPU.</param>
    /// <param name="nameOf">What tasks are called; null: as their types.</param>
    public static FolderReport Inspect(string folder, LoadingOptions? options = null, Func<ITask, string>? nameOf = null)
    {
        var root = Path.TrimEndingDirectorySeparator(ModelFolders.Resolve(Path.GetFullPath(folder)));
        if (!Directory.Exists(root))
        {
            return new FolderReport(root, [], [$"There is no folder {root}. Give the path of a model folder."]);
        }

        options ??= new LoadingOptions { Directory = Path.GetDirectoryName(root) ?? root, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu } };
        var problems = new CollectedProblems();
        var sections = new List<ReportSection>();
        void Add(string title, List<string>? lines)
        {
            if (lines is { Count: > 0 })
            {
                sections.Add(new ReportSection(title, lines));
            }
        }

        Add("Files", problems.Try(() => ListFiles(root)));
        if (problems.Try<object>(() => ModelManifest.IsModelFolder(root)) is false)
        {
            problems.Add("The folder has neither config.json nor an ONNX file: it is no model, and the server skips it.");
            return new FolderReport(root, sections, problems.All);
        }

        var device = ExecutionDevice.Resolve(options.Execution, NullLogger.Instance);
        var made = problems.Try(() => new ModelBuilder(device, options, TimeProvider.System).BuildAsync(root, ModelFolders.IdOf(root), problems).GetAwaiter().GetResult());
        if (made is null)
        {
            return new FolderReport(root, sections, problems.All);
        }

        using var parts = made;
        Add("Configuration", parts.Config is { } config ? Describe(config) : null);
        foreach (var file in parts.Files is { } files ? OnnxFiles.In(files) : [])
        {
            var name = Path.GetRelativePath(root, file);
            var graph = file == parts.File?.Summary.File ? parts.File : problems.Try(() => OnnxGraph.Read(file, parts.Config ?? ModelConfig.From(default)));
            Add($"Graph {name}", graph is null ? null : Describe(graph.Summary));
            Add($"Attention of {name}", graph is null ? null : DescribeAttention(graph.Summary, parts.Config));
        }

        Add("Sentence embedding", parts.Manifest?.Sentence is { } sentence ? Describe(sentence) : null);
        Add("Tokenizer", parts.Tokenizer is { } tokenizer ? Describe(tokenizer) : null);
        if (parts.Summary is not null && parts.Manifest is not null)
        {
            Add("Attention cannot be read", TryAttention(parts));
            Add("Tasks", [Tasks(parts, device, options, nameOf ?? (static task => task.GetType().Name))]);
            Add("Generation", parts.Decoder?.Describe(parts.Manifest, parts.ChatTemplate));
            Add("Limits", [string.Create(CultureInfo.InvariantCulture, $"most tokens of a sequence: {parts.MaxTokens}")]);
            Add("First run", ["the graph runs what the tokenizer gives"]);
        }

        Add("Notes", parts.Notes);
        return new FolderReport(root, sections, problems.All);
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
        List<string> lines = sentence.Source.Length > 0 ? [$"pooling read from {sentence.Source}"] : [];
        lines.AddRange((sentence.TokenModules ?? []).Select(dense => $"Dense {dense.InFeatures} -> {dense.OutFeatures}, {dense.Activation}, on each token"));
        if (sentence.Sparse is { } sparse)
        {
            lines.Add($"sparse vectors: {(sparse.Sum ? "sum" : "max")} over the tokens of {(sparse.TwiceLog ? "log1p_relu" : "relu")}");
        }

        if (sentence.Late is { } late)
        {
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"token vectors (ColBERT): queries of {late.QueryLength} tokens, marked '{late.QueryMark}'{(late.ExpandsQueries ? ", filled up with mask tokens" : "")}; documents of {late.DocumentLength}, marked '{late.DocumentMark}'"));
        }

        if (sentence.Score is { } score)
        {
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"pairs are scored by the logit of token {score.TrueTokenId}{(score.FalseTokenId is { } no ? $" less that of token {no}" : "")}"));
        }

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

        lines.Add($"similarity: {sentence.SimilarityOrDefault}{(sentence.Similarity is null ? " (not named)" : "")}");
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

    // A runtime that refuses the graph with its attention as outputs is told of here, and not by the first request.
    private static List<string>? TryAttention(ModelParts parts)
    {
        if (parts.Summary!.Attention.Count == 0)
        {
            return null;
        }

        try
        {
            parts.Graph!.OpenAsync(OutputSet.Attention, 1).GetAwaiter().GetResult();
            return null;
        }
        catch (ModelLoadException e)
        {
            return [e.Message];
        }
    }

    private static string Tasks(ModelParts parts, ExecutionDevice device, LoadingOptions options, Func<ITask, string> nameOf)
    {
        var scheduler = new Scheduler(device.Workers, options.Queue, new BatchPlanner(options.Queue, 1, 1));
        var model = parts.ToModel(new GraphExecutor(parts.Manifest!.Id, parts.Graph!, new Admission(options.Queue), scheduler));
        return TaskCatalogue.Of(model) is { Count: > 0 } tasks ? string.Join(", ", tasks.Select(nameOf)) : "none: the graph has no output that a task knows";
    }

    private static string Size(long bytes) => bytes switch
    {
        >= 1 << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 30):0.0} GB"),
        >= 1 << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 20):0.0} MB"),
        >= 1 << 10 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 10):0.0} kB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes} bytes"),
    };
}
