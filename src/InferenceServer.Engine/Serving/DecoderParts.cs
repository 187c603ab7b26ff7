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

/// <summary>The decoder of a model, tried out, with the graphs that it has beside the main one.</summary>
internal sealed class DecoderParts : IDisposable
{
    private static readonly string[] EncoderOutputs = ["last_hidden_state", "encoder_hidden_states", "hidden_states"];

    private const string NoMask = "The decoder takes no encoder_attention_mask, so sources of different lengths cannot be told apart in a run. Export the model again with that input.";

    private readonly Decoder decoder;
    private readonly Graph first;
    private readonly Graph next;
    private readonly IReadOnlyList<Graph> own;
    private readonly string? encoderOutput;
    private readonly int? positions;

    private DecoderParts(Decoder decoder, Graph first, Graph next, IReadOnlyList<Graph> own, string? encoderOutput, int? positions) =>
        (this.decoder, this.first, this.next, this.own, this.encoderOutput, this.positions) = (decoder, first, next, own, encoderOutput, positions);

    /// <summary>What the graph of an encoder-decoder's decoder without a past says of itself; null for a decoder alone, whose graph is the main one.</summary>
    public GraphSummary? Summary { get; private init; }

    /// <summary>What a person should know of it.</summary>
    public IReadOnlyList<string> Notes { get; private set; } = [];

    /// <summary>How sequences of different lengths share a run.</summary>
    public CachePadding Padding => decoder.Padding;

    /// <summary>False when every step computes the sequences as a whole.</summary>
    public bool HasCache => decoder.HasCache;

    /// <summary>Opens and tries the decoder; null when the model has none.</summary>
    /// <exception cref="ModelLoadException">It has one that cannot be used.</exception>
    public static DecoderParts? Open(Graph main, GraphSummary summary, ModelManifest manifest, Tokenizer tokenizer, Head? head, int? accuracyLevel, ExecutionDevice device, TimeProvider time, CancellationToken cancellation)
    {
        var files = manifest.Files;
        if (!files.IsEncoderDecoder && head is not { Kind: HeadKind.CausalLanguageModel })
        {
            return null;
        }

        if (main.Constraints.FixedLength is { } length)
        {
            throw new ModelLoadException($"{Path.GetFileName(summary.File)} takes exactly {length} tokens, and a text grows by one token at a time. Export it with a dynamic length.");
        }

        var own = new List<Graph>();
        try
        {
            Graph Opened(string file, out GraphSummary read)
            {
                var opened = OnnxGraph.Read(file, manifest.Config, accuracyLevel);
                read = opened.Summary;
                var graph = Graph.Open(new GraphSource(read, manifest.Config, path => path == file ? opened.ReadModel() : null, IsDecoder: true) { AccuracyLevel = accuracyLevel, AtAccuracy = opened.AtAccuracy, ExposeParts = opened.ReadModelWithParts, ExposeHeadMask = opened.ReadModelWithHeadMask }, device, time, cancellation);
                graph.PadId = main.PadId;
                own.Add(graph);
                return graph;
            }

            DecoderParts parts;
            if (files.IsEncoderDecoder)
            {
                var pair = files is { Decoder: not null, DecoderWithPast: not null };
                var graph = Opened((pair ? files.Decoder : files.DecoderMerged ?? files.Decoder)!, out var read);
                var second = pair ? Opened(files.DecoderWithPast!, out _) : null;
                var states = EncoderOutputs.FirstOrDefault(name => summary.Output(name) is not null) ?? summary.Outputs.FirstOrDefault(output => output.Shape?.Count == 3)?.Name
                    ?? throw new ModelLoadException($"{Path.GetFileName(summary.File)} gives no states [batch, source, hidden] for the decoder. Export the model again.");
                parts = new DecoderParts(new Decoder(graph, second, LogitsOf(read)), graph, second ?? graph, own, states, read.PositionRows) { Summary = graph.Inputs.Any(input => input.Role == InputRole.EncoderMask) ? read : read with { Attention = [], AttentionUnavailable = NoMask } };
            }
            else
            {
                var second = files.Continuation is { } file ? Opened(file, out _) : null;
                parts = new DecoderParts(new Decoder(main, second, head!.Output), main, second ?? main, own, null, null);
            }

            parts.Notes = DecoderWarmUp.Run(parts.decoder, main, parts.encoderOutput, tokenizer, summary, cancellation);
            return parts;
        }
        catch
        {
            own.ForEach(graph => graph.Dispose());
            throw;
        }
    }

    /// <summary>What a person should know of a folder's defaults.</summary>
    public static IEnumerable<string> NotesOf(ModelManifest manifest, Tokenizer tokenizer)
    {
        var defaults = manifest.Generation;
        if (defaults.Describe() is var described and not "greedy")
        {
            yield return $"Unless a request says otherwise, its files decide how text is generated: {described}.";
        }

        if (defaults.EosTokenIds.Count == 0)
        {
            yield return "No file says which token ends a text (eos_token_id): a text goes on until it is as long as it may be.";
        }
        else if (tokenizer.Named.Eos is { } own && !defaults.EosTokenIds.Contains(own.Id))
        {
            yield return $"A text ends with the token {string.Join(" or ", defaults.EosTokenIds)} of {defaults.EosSource}; the tokenizer's own end token, {own.Text} ({own.Id}), is not among them and ends none.";
        }

        if (manifest.Files.IsEncoderDecoder && defaults.DecoderStartTokenId is null)
        {
            yield return $"No file says what the decoder starts with (decoder_start_token_id): the token {Generator.StartOf(defaults, tokenizer)} is taken, {(defaults.BosTokenId is not null ? "the files' bos_token_id" : "the tokenizer's own beginning or padding")}.";
        }
    }

    /// <summary>What an inspection tells of it.</summary>
    public List<string> Describe(ModelManifest manifest, ChatTemplate? template)
    {
        var defaults = manifest.Generation;
        return
        [
            $"unless a request says otherwise: {defaults.Describe()}, at most {defaults.MaxNewTokens ?? Tasks.Generate.GenerateTask.DefaultNewTokens} new tokens",
            $"a text ends with: {(defaults.EosTokenIds.Count == 0 ? "nothing but its length" : $"{string.Join(" or ", defaults.EosTokenIds)} ({defaults.EosSource})")}",
            decoder.HasCache ? $"keys and values are kept: {decoder.TokenBytes} bytes a token" : "no keys and values are kept: every step computes the whole text",
            $"its attention runs {(next.IsRewritten ? "as grouped-query attention, in place of the file's smaller operators" : "as the file has it")}{(decoder.WritesInPlace ? "; new keys and values are written behind the old ones" : "")}",
            decoder.Padding == CachePadding.None ? "sequences of different lengths run one by one" : $"sequences of different lengths share a run, padded at the {decoder.Padding.ToString().ToLowerInvariant()}",
            template is null ? "no chat template" : "conversations are rendered by the chat template",
        ];
    }

    /// <summary>Where its steps take their turn.</summary>
    /// <param name="main">The main graph's executor.</param>
    /// <param name="executorOf">The executor of a graph.</param>
    public DecoderExecutors ExecutorsOf(GraphExecutor main, Func<Graph, GraphExecutor> executorOf)
    {
        var one = first == main.Graph ? main : executorOf(first);
        return new DecoderExecutors(one, next == first ? one : executorOf(next));
    }

    /// <summary>What the model generates with.</summary>
    public Generator ToGenerator(DecoderExecutors executors, IGraphExecutor main, ModelParts parts, GenerationOptions options, TimeProvider time) => new(
        decoder,
        executors,
        encoderOutput is null ? null : new EncoderPart(main, encoderOutput),
        parts.Tokenizer!,
        parts.Manifest!.Generation,
        encoderOutput is null ? parts.MaxTokens : positions,
        options,
        parts.Manifest.Id,
        time);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var graph in own)
        {
            graph.Dispose();
        }
    }

    private static string LogitsOf(GraphSummary summary) =>
        (summary.Output("logits") ?? summary.Outputs.FirstOrDefault(output => output.Name.EndsWith("logits", StringComparison.Ordinal)))?.Name
            ?? throw new ModelLoadException($"{Path.GetFileName(summary.File)} has no output 'logits'. Export the model with a language-model head.");
}
