using System.Text;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.ZeroShot;

/// <summary>
/// Labels that the model never saw, by asking a natural-language-inference head whether the text entails a sentence made of each
/// label (Yin et al. 2019, arXiv:1909.00161), as the zero-shot-classification pipeline of transformers 4.57 does it. The one
/// difference: the contradiction label is found by its name; the pipeline takes a position, which is wrong for some label orders.
/// </summary>
public sealed class ZeroShotTask : PredictionTask<ZeroShotRequest, ZeroShotResult>
{
    /// <summary>Most labels of a request: each is a run of the model for each input.</summary>
    private const int MostLabels = 1000;

    /// <summary>Most runs of a request, labels times inputs.</summary>
    private const int MostRuns = 10_000;

    private static readonly Argument CandidateLabels = Argument.Of(nameof(ZeroShotRequest.CandidateLabels));
    private static readonly Argument EntailmentLabel = Argument.Of(nameof(ZeroShotRequest.EntailmentLabel));
    private static readonly Argument HypothesisTemplate = Argument.Of(nameof(ZeroShotRequest.HypothesisTemplate));

    /// <inheritdoc/>
    public override bool Supports(Model model) =>
        model.Capabilities is { Head.Kind: HeadKind.SequenceClassification, LabelCount: > 1 } && (Entailment(model) >= 0 || IsUnnamed(model));

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<ZeroShotResult>> RunAsync(Model model, ZeroShotRequest request, RequestContext context)
    {
        context.RequireCharacters(((long?)request.HypothesisTemplate?.Length ?? 0) * request.CandidateLabels.Count); // before the template is filled with them
        var hypotheses = Hypotheses(request);
        var truncation = TextInput.TruncationOf(model, request.Truncate, request.TruncationDirection) is { } cut ? cut with { Strategy = TruncationStrategy.OnlyFirst } : null; // a hypothesis is read whole
        TextInput.RequireAll(request.Inputs, pairs: false, ids: false);
        if ((long)hypotheses.Length * request.Inputs.Count > MostRuns)
        {
            throw InferenceException.Unprocessable(
                CandidateLabels,
                $"{CandidateLabels} has {hypotheses.Length} labels for {request.Inputs.Count} inputs; a request runs at most {MostRuns} of their combinations. Send fewer labels or fewer inputs.");
        }

        var entailment = Entailment(model, request);
        var inputs = request.Inputs.SelectMany((input, i) => hypotheses.Select(hypothesis => TextInput.Of(input.Text!, hypothesis, i))).ToList();
        var prepared = TextInput.PrepareEach(inputs, context, input => input.Prepare(model, context, truncation, TextInput.TruncateRemedy));
        var rows = await TextClassificationTask.LogitsAsync(model, prepared, context).ConfigureAwait(false);
        return [.. rows.Chunk(hypotheses.Length).Select((chunk, i) => new ZeroShotResult(Labels(model, chunk, entailment, request))
        {
            Truncated = prepared.Skip(i * hypotheses.Length).Take(hypotheses.Length).Any(pair => pair.Truncated) ? true : null,
        })];
    }

    private static IReadOnlyList<LabelScore> Labels(Model model, float[][] logits, int entailment, ZeroShotRequest parameters)
    {
        var contradiction = Contradiction(model, entailment);
        var scores = parameters.MultiLabel || logits.Length == 1
            ? Array.ConvertAll(logits, row => Logits.Softmax([row[contradiction], row[entailment]])[1])
            : Logits.Softmax(Array.ConvertAll(logits, row => row[entailment]));
        return [.. scores.Select((score, i) => new LabelScore(parameters.CandidateLabels[i], score)).OrderByDescending(label => label.Score)];
    }

    // What was set comes before the labels' names; -1 where neither says it.
    private static int Entailment(Model model) => model.Settings.EntailmentLabel is { } set ? Head.IndexOf(model, set) : LabelThatStarts(model, "entail");

    private static int Entailment(Model model, ZeroShotRequest request)
    {
        if (request.EntailmentLabel is { } asked)
        {
            return Head.IndexOf(model, asked) is var index and >= 0 ? index
                : throw InferenceException.Unprocessable(EntailmentLabel, $"{EntailmentLabel} is '{(asked.Length > 100 ? asked[..100] + "..." : asked)}', which is no label of the model. {Head.Known(model)}");
        }

        return Entailment(model) is var own and >= 0 ? own : throw InferenceException.Unprocessable(
            EntailmentLabel,
            $"The labels of the model have no names (id2label in config.json), so which of them means entailment must be said: send it as {EntailmentLabel}, or have Models:{model.Manifest.Id}:EntailmentLabel set. {Head.Known(model)}");
    }

    // Labels as transformers numbers them say nothing of what they mean.
    private static bool IsUnnamed(Model model) => Enumerable.Range(0, model.Capabilities.LabelCount ?? 0).All(id => Head.Label(model, id) == $"LABEL_{id}");

    private static int Contradiction(Model model, int entailment) =>
        LabelThatStarts(model, "contra") is var named and >= 0 ? named
        : LabelThatStarts(model, "not") is var negated and >= 0 ? negated
        : entailment == 0 ? (model.Capabilities.LabelCount ?? 2) - 1 : 0;

    private static int LabelThatStarts(Model model, string start)
    {
        var labels = model.Manifest.Config.Labels;
        for (var i = 0; i < labels.Count; i++)
        {
            if (labels[i].StartsWith(start, StringComparison.OrdinalIgnoreCase))
            {
                return i;
            }
        }

        return -1;
    }

    private static string[] Hypotheses(ZeroShotRequest parameters)
    {
        if (parameters.CandidateLabels.Count == 0)
        {
            throw InferenceException.Unprocessable(CandidateLabels, $"{CandidateLabels} is empty: at least 1 label is needed. Send a list of labels.");
        }

        if (parameters.CandidateLabels.Count > MostLabels)
        {
            throw InferenceException.Unprocessable(CandidateLabels, $"{CandidateLabels} has {parameters.CandidateLabels.Count} labels; at most {MostLabels} are taken. Send fewer, or several requests.");
        }

        for (var i = 0; i < parameters.CandidateLabels.Count; i++)
        {
            if (string.IsNullOrWhiteSpace(parameters.CandidateLabels[i]))
            {
                throw InferenceException.Unprocessable(CandidateLabels[i], $"{CandidateLabels[i]} is empty: a label has at least 1 character. Leave it out or name it.");
            }
        }

        return [.. parameters.CandidateLabels.Select(label => Fill(parameters.HypothesisTemplate, label))];
    }

    /// <summary>Puts the label for <c>{}</c> or <c>{0}</c>; doubled braces stand for themselves (Python's str.format).</summary>
    private static string Fill(string? template, string label)
    {
        var text = new StringBuilder();
        var places = 0;
        for (var i = 0; i < (template?.Length ?? 0); i++)
        {
            var rest = template.AsSpan(i);
            if (rest.StartsWith("{}") || rest.StartsWith("{0}"))
            {
                text.Append(label);
                places++;
                i += rest[1] == '}' ? 1 : 2;
            }
            else if (rest.StartsWith("{{") || rest.StartsWith("}}"))
            {
                text.Append(template![i++]);
            }
            else if (template![i] is '{' or '}')
            {
                places = 0;
                break;
            }
            else
            {
                text.Append(template[i]);
            }
        }

        return places > 0
            ? text.ToString()
            : throw InferenceException.Unprocessable(HypothesisTemplate, $"{HypothesisTemplate} must have {{}} where the label goes, and no other braces. Send for example 'This example is {{}}.'.");
    }
}
