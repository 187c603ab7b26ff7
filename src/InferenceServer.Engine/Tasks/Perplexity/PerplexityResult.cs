namespace InferenceServer.Engine.Tasks.Perplexity;

/// <summary>How surprising one input is.</summary>
/// <param name="Perplexity">exp of the mean negative log-probability of the tokens that were predicted.</param>
/// <param name="LogProbability">Sum of the log-probabilities, natural logarithm.</param>
/// <param name="Tokens">Every token of the sequence.</param>
public sealed record PerplexityResult(double Perplexity, double LogProbability, IReadOnlyList<ScoredToken> Tokens) : PredictionResult;

/// <summary>A token and how expected it was.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Token">The token as the vocabulary has it.</param>
/// <param name="Text">The token decoded.</param>
/// <param name="Start">First code point in the text (0 when the input was ids).</param>
/// <param name="End">One past the last code point in the text (0 when the input was ids).</param>
/// <param name="Logprob">Natural logarithm of its probability given the tokens before it; null for the first, which nothing predicts.</param>
public sealed record ScoredToken(int Id, string Token, string Text, int Start, int End, double? Logprob);
