using InferenceServer.Engine.Generation.Sampling;

namespace InferenceServer.Engine.Generation;

/// <summary>Why a text has ended.</summary>
public enum FinishReason
{
    /// <summary>An end token or a stop text came.</summary>
    Stop,

    /// <summary>As many tokens as were allowed.</summary>
    Length,

    /// <summary>The request was cancelled.</summary>
    Cancelled,
}

/// <summary>One token of a choice.</summary>
/// <param name="Index">The choice.</param>
/// <param name="Text">Text that became certain; empty while a character is incomplete or a stop text may follow.</param>
/// <param name="TokenId">The token; null for the text of the prompt that is given back.</param>
/// <param name="Token">What was chosen, with log-probabilities where they were asked for.</param>
/// <param name="Finish">With the last token of the choice: why it has ended.</param>
public sealed record GenerationEvent(int Index, string Text, int? TokenId, SelectedToken? Token = null, FinishReason? Finish = null);

/// <summary>A finished choice.</summary>
/// <param name="Index">Its place.</param>
/// <param name="Text">Its text, without the end token.</param>
/// <param name="TokenIds">All that was generated, the end token included.</param>
/// <param name="Finish">Why it has ended.</param>
public sealed record GenerationChoice(int Index, string Text, IReadOnlyList<int> TokenIds, FinishReason Finish)
{
    /// <summary>Of beams: the sum of the log-probabilities divided by the length to the power of the length penalty; else null.</summary>
    public double? Score { get; init; }

    /// <summary>What was chosen, token by token, where log-probabilities were asked for; else null.</summary>
    public IReadOnlyList<SelectedToken>? LogProbs { get; init; }
}

/// <summary>How long a generation took.</summary>
/// <param name="Queue">Until its first run began.</param>
/// <param name="Prefill">From then to the first token of the first choice.</param>
/// <param name="Decode">From then to the last token.</param>
public sealed record GenerationTimings(TimeSpan Queue, TimeSpan Prefill, TimeSpan Decode);
