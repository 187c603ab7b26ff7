namespace InferenceServer.Engine.Tasks.NextToken;

/// <summary>What may follow one input, best first.</summary>
public sealed record NextTokenResult(IReadOnlyList<NextTokenCandidate> Candidates) : PredictionResult;

/// <summary>A token that may follow.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Token">The token as the vocabulary has it.</param>
/// <param name="Text">The token decoded.</param>
/// <param name="Score">Its probability.</param>
/// <param name="Logprob">Natural logarithm of its probability.</param>
public sealed record NextTokenCandidate(int Id, string Token, string Text, double Score, double Logprob);
