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
        return named.Count == 0 ? ByOutputs(model) : named[0].Kind is { } kind ? ByName(model, kind) ?? ByOutputs(model) : null;
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

    private static Head? ByName(Model model, HeadKind kind) => kind switch
    {
        HeadKind.QuestionAnswering => Spans(model, named: true),
        HeadKind.SequenceClassification => Logits(model, 2, named: true) is { } output ? new Head(kind, output.Name) : null,
        HeadKind.MaskedLanguageModel when model.Tokenizer.Named.Mask is null => null,
        _ => Logits(model, 3, named: true) is { } output ? new Head(kind, output.Name) : null,
    };

    private static Head? ByOutputs(Model model)
    {
        if (Spans(model, named: false) is { } spans)
        {
            return spans;
        }

        // [batch, labels]; a second axis as long as the input is something else (one number a token).
        if (Logits(model, 2, named: false) is { Shape: { } shape } sequence && !model.Graph.Inputs.Any(i => i.Shape?.Count == 2 && i.Shape[1] == shape[1]))
        {
            return new Head(HeadKind.SequenceClassification, sequence.Name);
        }

        if (Logits(model, 3, named: false) is not { } tokens)
        {
            return null;
        }

        var config = model.Manifest.Config;
        var size = tokens.FixedSize(2);
        var caches = model.Graph.Inputs.Any(i => i.Name.StartsWith("past", StringComparison.Ordinal));
        return size == (config.VocabularySize ?? model.Tokenizer.VocabularySize) || (size is null && config.Labels.Count == 0) || caches
            ? new Head(model.Tokenizer.Named.Mask is null || caches ? HeadKind.CausalLanguageModel : HeadKind.MaskedLanguageModel, tokens.Name)
            : new Head(HeadKind.TokenClassification, tokens.Name);
    }

    /// <summary>
    /// The output that holds logits of that rank (a shape that the graph does not say fits any). When the config names the head,
    /// an exporter's own name (<c>output_0</c>) will do as long as it is not one of the body's.
    /// </summary>
    private static GraphTensor? Logits(Model model, int rank, bool named)
    {
        var fitting = model.Graph.Outputs.Where(o => o.Shape is null || o.Shape.Count == rank).ToList();
        return fitting.Find(o => o.Name == "logits")
            ?? fitting.Find(o => o.Name.EndsWith("logits", StringComparison.Ordinal) && !IsSpan(o.Name))
            ?? (named ? fitting.Find(o => !Bodies.Any(body => o.Name.Contains(body, StringComparison.OrdinalIgnoreCase)) && !IsSpan(o.Name)) : null);
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
            _ => null,
        };
    }

    private static bool IsSpan(string name) => name.StartsWith("start", StringComparison.Ordinal) || name.StartsWith("end", StringComparison.Ordinal);
}
