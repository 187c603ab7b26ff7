using System.Text.Json;
using InferenceServer.Engine.Generation.Sampling;

namespace InferenceServer.Engine.Tasks.Generate;

/// <summary>What is to be generated. Of the three forms of a prompt exactly one is given; what is null is as the model's files say.</summary>
public sealed record GenerateRequest
{
    /// <summary>The prompt as text; of an encoder-decoder the source.</summary>
    public string? Prompt { get; init; }

    /// <summary>The prompt as token ids, as they go into the graph.</summary>
    public int[]? InputIds { get; init; }

    /// <summary>A conversation, for the model's chat template: a list of objects with a role and a content.</summary>
    public JsonElement? Messages { get; init; }

    /// <summary>Further variables of the chat template, an object.</summary>
    public JsonElement? ChatTemplateKwargs { get; init; }

    /// <summary>Choices of one prompt.</summary>
    public int N { get; init; } = 1;

    /// <summary>Most tokens to generate.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>Least tokens before an end token.</summary>
    public int? MinNewTokens { get; init; }

    /// <summary>0: greedy. Above: what logits are divided by before a token is drawn.</summary>
    public double? Temperature { get; init; }

    /// <summary>Draw among the best so many tokens; 0 = all.</summary>
    public int? TopK { get; init; }

    /// <summary>Draw among the fewest best tokens that have this probability together; 1 = all.</summary>
    public double? TopP { get; init; }

    /// <summary>Draw among tokens with at least this share of the best one's probability; 0 = all.</summary>
    public double? MinP { get; init; }

    /// <summary>Draw among the tokens nearest to the expected information that have this probability together; 1 = all.</summary>
    public double? TypicalP { get; init; }

    /// <summary>Divides (a negative one: multiplies) the logits of tokens that have occurred, in the prompt too; 1 = off.</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>Taken off the logits of tokens that have been generated.</summary>
    public double? PresencePenalty { get; init; }

    /// <summary>Taken off the logits of tokens for each time that they have been generated.</summary>
    public double? FrequencyPenalty { get; init; }

    /// <summary>No sequence of so many tokens occurs twice; 0 = off.</summary>
    public int? NoRepeatNgramSize { get; init; }

    /// <summary>Added to the logits of tokens, by id.</summary>
    public IReadOnlyDictionary<string, double>? LogitBias { get; init; }

    /// <summary>Sequences of tokens that must not occur.</summary>
    public IReadOnlyList<IReadOnlyList<int>>? BadWordsIds { get; init; }

    /// <summary>Tokens that must not occur.</summary>
    public IReadOnlyList<int>? SuppressTokens { get; init; }

    /// <summary>Texts that end the generation; they are not in the answer.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>Tokens that end the generation, beside the model's own.</summary>
    public IReadOnlyList<int> StopTokenIds { get; init; } = [];

    /// <summary>Makes drawn tokens the same again.</summary>
    public long? Seed { get; init; }

    /// <summary>Beams of a beam search; 1 = none.</summary>
    public int? NumBeams { get; init; }

    /// <summary>Exponent of the length that a beam's score is divided by.</summary>
    public double? LengthPenalty { get; init; }

    /// <summary>When a beam search ends.</summary>
    public EarlyStopping? EarlyStopping { get; init; }

    /// <summary>The first token to generate.</summary>
    public int? ForcedBosTokenId { get; init; }

    /// <summary>Whether the text begins with that of the prompt.</summary>
    public bool Echo { get; init; }

    /// <summary>Give the log-probabilities of the tokens, and so many of the best alternatives; null: none.</summary>
    public int? Logprobs { get; init; }
}
