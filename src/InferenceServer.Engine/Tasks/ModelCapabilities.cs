using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tasks.Embeddings;

namespace InferenceServer.Engine.Tasks;

/// <summary>What depends on a model alone and not on a request: its head, its tasks, how its outputs become a vector. Read from config, tokenizer and outputs, once.</summary>
public sealed class ModelCapabilities
{
    private readonly Lazy<IReadOnlyList<ITask>> tasks;
    private readonly Lazy<EmbeddingPlan?> embedding;

    /// <summary>Looks at the model.</summary>
    internal ModelCapabilities(Model model)
    {
        Head = Head.Of(model);
        LostHead = Head is null ? Head.Lost(model) : null;
        LabelCount = Head?.LabelCount(model);
        var prompts = new Dictionary<string, string>(model.Manifest.Sentence?.Prompts ?? model.Settings.Prompts, StringComparer.Ordinal);
        foreach (var (name, text) in model.Settings.Prompts)
        {
            prompts[name] = text;
        }

        Prompts = prompts;
        MaskToken = model.Tokenizer.Named.Mask is { } mask ? new MaskToken(mask.Id, mask.Text) : null;
        TokenStates = EmbeddingPlan.FindTokenStates(model, Head);
        SentenceVector = EmbeddingPlan.FindSentenceVector(model, Head);
        tasks = new Lazy<IReadOnlyList<ITask>>(() => [.. TaskCatalogue.All.Where(task => task.Supports(model))]);
        embedding = new Lazy<EmbeddingPlan?>(() => EmbeddingPlan.IsPossible(model) ? EmbeddingPlan.Make(model, null, null) : null);
    }

    /// <summary>The tasks that the model has, in the order of <see cref="TaskCatalogue.All"/>.</summary>
    public IReadOnlyList<ITask> Tasks => tasks.Value;

    /// <summary>The head, or null when the model has none (an encoder without one, an encoder-decoder).</summary>
    internal Head? Head { get; }

    /// <summary>That config.json promises a head which the graph lacks, and the remedy, in sentences; null when it does not.</summary>
    internal string? LostHead { get; }

    /// <summary>Prompts by name, the folder's and those that were set.</summary>
    public IReadOnlyDictionary<string, string> Prompts { get; }

    /// <summary>The token that stands for a missing word; null when the tokenizer has none.</summary>
    public MaskToken? MaskToken { get; }

    /// <summary>How token vectors become one when the request says nothing else; null when the model makes no vectors.</summary>
    public PoolingChoice? Pooling => Embedding?.Choice;

    /// <summary>Number of labels, where there is a head and the files say it.</summary>
    internal int? LabelCount { get; }

    /// <summary>True when the model reads two texts together and gives one logit: how well they fit.</summary>
    internal bool IsCrossEncoder => Head is { Kind: HeadKind.SequenceClassification } && LabelCount == 1;

    /// <summary>The output with a vector for each token <c>[batch, S, D]</c>, or null.</summary>
    internal GraphTensor? TokenStates { get; }

    /// <summary>The output with a vector for the whole input <c>[batch, D]</c>, or null.</summary>
    internal GraphTensor? SentenceVector { get; }

    /// <summary>How the model makes a vector when the request says nothing else, or null when it makes none.</summary>
    internal EmbeddingPlan? Embedding => embedding.Value;
}

/// <summary>The token that stands for a missing word.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Text">What is written for it.</param>
public sealed record MaskToken(int Id, string Text);
