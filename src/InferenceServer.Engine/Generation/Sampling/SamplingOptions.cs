namespace InferenceServer.Engine.Generation.Sampling;

/// <summary>How the next token is chosen. What is not set has no effect.</summary>
public sealed record SamplingOptions
{
    /// <summary>True: a token is drawn; false: the best one is taken.</summary>
    public bool DoSample { get; init; }

    /// <summary>What logits are divided by before a token is drawn; above 0.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Draw among the best so many tokens; 0 = all.</summary>
    public int TopK { get; init; }

    /// <summary>Draw among the fewest best tokens that have this probability together, the one that crosses the border included; 1 = all.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Draw among tokens with at least this share of the best one's probability; 0 = all.</summary>
    public float MinP { get; init; }

    /// <summary>Locally typical sampling (Meister et al., TACL 2023): draw among the tokens nearest to the expected information that have this probability together; 1 = all.</summary>
    public float TypicalP { get; init; } = 1;

    /// <summary>CTRL's penalty (Keskar et al., 2019): positive logits of tokens that have occurred, in the prompt too, are divided by it, negative ones multiplied; 1 = off.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Taken off the logits of tokens that have been generated, as OpenAI's API has it; the prompt does not count.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Taken off the logits of tokens for each time that they have been generated, as OpenAI's API has it; the prompt does not count.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>No sequence of so many tokens occurs twice, the prompt included; 0 = off.</summary>
    public int NoRepeatNgramSize { get; init; }

    /// <summary>Added to the logits of tokens.</summary>
    public IReadOnlyDictionary<int, float> LogitBias { get; init; } = new Dictionary<int, float>();

    /// <summary>Sequences of tokens that must not occur.</summary>
    public IReadOnlyList<IReadOnlyList<int>> BadWordsIds { get; init; } = [];

    /// <summary>Tokens that must not occur.</summary>
    public IReadOnlyList<int> SuppressTokens { get; init; } = [];

    /// <summary>Tokens that must not be the first.</summary>
    public IReadOnlyList<int> BeginSuppressTokens { get; init; } = [];

    /// <summary>Least tokens before one of <see cref="EosTokenIds"/>.</summary>
    public int MinNewTokens { get; init; }

    /// <summary>Most tokens.</summary>
    public int MaxNewTokens { get; init; } = int.MaxValue;

    /// <summary>Tokens that end a text.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>What the first token must be.</summary>
    public int? ForcedBosTokenId { get; init; }

    /// <summary>What the last token must be where all of <see cref="MaxNewTokens"/> are generated.</summary>
    public int? ForcedEosTokenId { get; init; }

    /// <summary>Give the log-probability of the token, and so many of the best alternatives; null: none.</summary>
    public int? LogProbs { get; init; }
}

/// <summary>A token with its log-probability by the model's own distribution: before penalties, bans and temperature.</summary>
/// <param name="Id">The token.</param>
/// <param name="LogProb">Natural logarithm of its probability.</param>
public readonly record struct TokenLogProb(int Id, double LogProb);

/// <summary>A token that was chosen.</summary>
/// <param name="Id">The token.</param>
/// <param name="LogProb">As <see cref="TokenLogProb.LogProb"/>; 0 where it was not asked for.</param>
/// <param name="Top">The best tokens by the model's own distribution, best first; null where none were asked for.</param>
public readonly record struct SelectedToken(int Id, double LogProb = 0, IReadOnlyList<TokenLogProb>? Top = null);
