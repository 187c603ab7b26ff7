namespace InferenceServer.Engine.Tasks.FillMask;

/// <summary>Every mask of one input, in their order.</summary>
public sealed record FillMaskResult(IReadOnlyList<FilledMask> Masks) : PredictionResult;

/// <summary>One mask.</summary>
/// <param name="Position">Index of its token.</param>
/// <param name="Start">First code point in the text.</param>
/// <param name="End">One past the last code point in the text.</param>
/// <param name="Candidates">What may stand there, best first.</param>
public sealed record FilledMask(int Position, int Start, int End, IReadOnlyList<TokenCandidate> Candidates);

/// <summary>A token that may stand somewhere.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Token">The token as the vocabulary has it.</param>
/// <param name="Text">The token decoded.</param>
/// <param name="Score">Its probability among the whole vocabulary.</param>
public sealed record TokenCandidate(int Id, string Token, string Text, double Score);
