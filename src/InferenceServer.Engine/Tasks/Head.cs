using System.Text.Json;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tasks;

/// <summary>What the last layer of a model predicts.</summary>
internal enum HeadKind
{
    /// <summary>A token for each masked position: logits <c>[S, vocabulary]</c>.</summary>
    MaskedLanguageModel,

    /// <summary>The next token at each position: logits <c>[S, vocabulary]</c>.</summary>
    CausalLanguageModel,

    /// <summary>Labels of the sequence: logits <c>[labels]</c>.</summary>
    SequenceClassification,

    /// <summary>Labels of each token: logits <c>[S, labels]</c>.</summary>
    TokenClassification,

    /// <summary>Where an answer starts and where it ends: two outputs <c>[S]</c>.</summary>
    QuestionAnswering,
}

/// <summary>
/// The head of a model: the config's <c>architectures</c> says what it is meant to be, the graph's outputs say whether it is
/// there. A folder whose config does not say is judged by the outputs' names and shapes alone.
/// </summary>
/// <param name="Kind">What it predicts.</param>
/// <param name="Output">The output to read; for question answering the one of the starts.</param>
/// <param name="EndOutput">For question answering the output of the ends.</param>
internal sealed record Head(HeadKind Kind, string Output, string? EndOutput = null)
{
    // The end of a class name in transformers is the head; None = a head that no task here reads.
    private static readonly (string Suffix, HeadKind? Kind)[] Suffixes =
    [
        ("ForMaskedLM", HeadKind.MaskedLanguageModel),
        ("ForPreTraining", HeadKind.MaskedLanguageModel),
        ("WithLMHeadModel", HeadKind.MaskedLanguageModel),
        ("LMHeadModel", HeadKind.CausalLanguageModel),
        ("ForCausalLM", HeadKind.CausalLanguageModel),
        ("ForSequenceClassification", HeadKind.SequenceClassification),
        ("ForTokenClassification", HeadKind.TokenClassification),
        ("ForQuestionAnswering", HeadKind.QuestionAnswering),
        ("ForQuestionAnsweringSimple", HeadKind.QuestionAnswering),
        ("ForNextSentencePrediction", null),
        ("ForMultipleChoice", null),
        ("ForConditionalGeneration", null),
    ];

    // What is never a head's output.
    private static readonly string[] Bodies = ["hidden", "pooler", "embedding", "attention", "present", "past", "state", "cache"];

    /// <summary>The head of <paramref name="model"/>, or null when it has none (an encoder without one, an encoder-decoder).</summary>
    public static Head? Of(Model model)
    {
        if (model.Manifest.Files.IsEncoderDecoder)
        {
            return null;
        }

        var named = model.Manifest.Config.Architectures
            .SelectMany(name => Suffixes.Where(s => name.EndsWith(s.Suffix, StringComparison.Ordinal)).Take(1))
            .ToList();
        return named.Count == 0 ? ByOutputs(model)
            : named[0].Kind is not { } kind || (kind == HeadKind.MaskedLanguageModel && model.Tokenizer.Named.Mask is null) ? null
            : ByName(model, kind) ?? ByOutputs(model);
    }

    /// <summary>What is said of a head that config.json names and the graph lacks, with the remedy; null where nothing is missing. A body that modules.json describes lacks no language-model head.</summary>
    public static string? Lost(Model model)
    {
        if (model.Manifest.Files.IsEncoderDecoder)
        {
            return null;
        }

        foreach (var name in model.Manifest.Config.Architectures)
        {
            var (suffix, kind) = Array.Find(Suffixes, s => name.EndsWith(s.Suffix, StringComparison.Ordinal));
            if (suffix is null || kind is not { } promised || (promised is HeadKind.MaskedLanguageModel or HeadKind.CausalLanguageModel && model.Manifest.Sentence is not null))
            {
                continue;
            }

            return promised == HeadKind.MaskedLanguageModel && model.Tokenizer.Named.Mask is null && ByName(model, promised) is not null ? null
                : $"config.json: $.architectures promises a head ({name}) and the graph has no output of one (it has {string.Join(", ", model.Graph.Outputs.Select(o => o.Name))}). Export it with optimum-cli export onnx --task {ExportTask(promised)}.";
        }

        return null;
    }

    /// <summary>The id of a label by its name; -1 when the model has none of it.</summary>
    public static int IndexOf(Model model, string label)
    {
        var count = model.Capabilities.LabelCount ?? model.Manifest.Config.Labels.Count;
        for (var id = 0; id < count; id++)
        {
            if (string.Equals(Label(model, id), label, StringComparison.OrdinalIgnoreCase))
            {
                return id;
            }
        }

        return -1;
    }

    /// <summary>The labels of a model in a sentence.</summary>
    public static string Known(Model model)
    {
        const int most = 20;
        var count = model.Capabilities.LabelCount ?? model.Manifest.Config.Labels.Count;
        return count == 0 ? "It has no labels." : $"It has {string.Join(", ", Enumerable.Range(0, Math.Min(count, most)).Select(id => Label(model, id)))}{(count > most ? ", ..." : "")}.";
    }

    /// <summary>Number of labels where the files say it, else null.</summary>
    public int? LabelCount(Model model)
    {
        var config = model.Manifest.Config;
        var axis = Kind == HeadKind.TokenClassification ? 2 : 1;
        return model.Graph.Output(Output)?.FixedSize(axis)
            ?? (config.Labels.Count > 0 ? (int?)config.Labels.Count : null)
            ?? (config.Root.ValueKind == JsonValueKind.Object && config.Root.TryGetProperty("num_labels", out var n) && n.TryGetInt32(out var count) ? (int?)count : null);
    }

    /// <summary>The name of a label: the config's, or LABEL_n as transformers has it.</summary>
    public static string Label(Model model, int id) => id < model.Manifest.Config.Labels.Count ? model.Manifest.Config.Labels[id] : $"LABEL_{id}";

    private static string ExportTask(HeadKind kind) => kind switch
    {
        HeadKind.MaskedLanguageModel => "fill-mask",
        HeadKind.CausalLanguageModel => "text-generation",
        HeadKind.SequenceClassification => "text-classification",
        HeadKind.TokenClassification => "token-classification",
        _ => "question-answering",
    };

    private static Head? ByName(Model model, HeadKind kind) => kind switch
    {
        HeadKind.QuestionAnswering => Spans(model, named: true),
        HeadKind.SequenceClassification => Logits(model, 2, static _ => true) is { } output ? new Head(kind, output.Name) : null,
        _ when Logits(model, 3, static _ => true) is { } output => new Head(kind, output.Name),
        HeadKind.CausalLanguageModel when Logits(model, 2, static _ => true) is { } output && IsVocabulary(model, output.FixedSize(1)) => new Head(kind, output.Name),
        _ => null,
    };

    /// <summary>Whether an axis is the vocabulary: as long as the config says, or near the tokenizer's (heads are often padded), which no list of labels is.</summary>
    private static bool IsVocabulary(Model model, int? size) =>
        size is { } length && (length == model.Manifest.Config.VocabularySize || 2L * length > model.Tokenizer.VocabularySize);

    // An output of any name has as many values as the config has labels.
    private static bool IsLabels(Model model, int? size) => size is > 0 && size == model.Manifest.Config.Labels.Count;

    private static Head? ByOutputs(Model model)
    {
        if (Spans(model, named: false) is { } spans)
        {
            return spans;
        }

        // A language model may have a second head beside its own (whether two sentences follow each other).
        var config = model.Manifest.Config;
        var tokens = Logits(model, 3, o => o.FixedSize(2) is var width && width != config.HiddenSize && (IsLabels(model, width) || width == config.VocabularySize));
        if (tokens is not null && IsVocabulary(model, tokens.FixedSize(2)))
        {
            return LanguageModel(model, tokens);
        }

        // [batch, labels]; a second axis as long as the input is something else (one number a token).
        if (Logits(model, 2, o => IsLabels(model, o.FixedSize(1))) is { Shape: { } shape } sequence && !IsPerToken(model, shape[1]))
        {
            return new Head(IsVocabulary(model, sequence.FixedSize(1)) ? HeadKind.CausalLanguageModel : HeadKind.SequenceClassification, sequence.Name);
        }

        return tokens is null ? null
            : tokens.FixedSize(2) is null && config.Labels.Count == 0 ? LanguageModel(model, tokens)
            : new Head(HeadKind.TokenClassification, tokens.Name);
    }

    private static Head LanguageModel(Model model, GraphTensor logits) => new(
        model.Tokenizer.Named.Mask is null || model.Graph.Inputs.Any(i => i.Name.StartsWith("past", StringComparison.Ordinal)) || model.Graph.Attention.Any(tap => tap.Kind == AttentionKind.Decoder)
            ? HeadKind.CausalLanguageModel
            : HeadKind.MaskedLanguageModel,
        logits.Name);

    /// <summary>
    /// The output that holds logits of that rank (a shape that the graph does not say fits any). An exporter's own name (<c>output_0</c>) will do where
    /// <paramref name="unnamed"/> says so, as long as it is not one of the body's: when the config names the head, or when the size is that of the labels.
    /// </summary>
    private static GraphTensor? Logits(Model model, int rank, Func<GraphTensor, bool> unnamed)
    {
        var fitting = model.Graph.Outputs.Where(o => o.Shape is null || o.Shape.Count == rank).ToList();
        return fitting.Find(o => o.Name == "logits")
            ?? fitting.Find(o => o.Name.EndsWith("logits", StringComparison.Ordinal) && !IsSpan(o.Name))
            ?? fitting.Find(o => !Bodies.Any(body => o.Name.Contains(body, StringComparison.OrdinalIgnoreCase)) && !IsSpan(o.Name) && unnamed(o));
    }

    private static Head? Spans(Model model, bool named)
    {
        var flat = model.Graph.Outputs.Where(o => o.Shape is null || o.Shape.Count == 2).Select(o => o.Name).ToList();
        var start = flat.Find(name => name.StartsWith("start", StringComparison.Ordinal));
        var end = flat.Find(name => name.StartsWith("end", StringComparison.Ordinal));
        return (start, end) switch
        {
            (not null, not null) => new Head(HeadKind.QuestionAnswering, start, end),
            _ when named && flat.Count >= 2 => new Head(HeadKind.QuestionAnswering, flat[0], flat[1]),
            // Nothing else gives two numbers for each token and nothing more.
            _ when flat.Count == 2 && model.Graph.Outputs.Count == 2 && model.Graph.Outputs.All(o => o.Shape is { } shape && IsPerToken(model, shape[1])) => new Head(HeadKind.QuestionAnswering, flat[0], flat[1]),
            _ => null,
        };
    }

    private static bool IsPerToken(Model model, string axis) => axis != "?" && model.Graph.Inputs.Any(i => i.Shape?.Count == 2 && i.Shape[1] == axis);

    private static bool IsSpan(string name) => name.StartsWith("start", StringComparison.Ordinal) || name.StartsWith("end", StringComparison.Ordinal);
}
