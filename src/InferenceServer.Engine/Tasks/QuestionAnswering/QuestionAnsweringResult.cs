namespace InferenceServer.Engine.Tasks.QuestionAnswering;

/// <summary>The answers to one question, best first.</summary>
public sealed record QuestionAnsweringResult(IReadOnlyList<Answer> Answers) : PredictionResult;

/// <summary>A part of the context.</summary>
/// <param name="Text">The answer; empty when the context does not say.</param>
/// <param name="Score">Probability of its start times probability of its end, added up over equal answers.</param>
/// <param name="Start">First code point in the context.</param>
/// <param name="End">One past the last code point in the context.</param>
public sealed record Answer(string Text, double Score, int Start, int End);
