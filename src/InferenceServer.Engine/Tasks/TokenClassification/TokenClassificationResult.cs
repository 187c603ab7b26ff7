namespace InferenceServer.Engine.Tasks.TokenClassification;

/// <summary>The entities of one input, in the order of the text.</summary>
public sealed record TokenClassificationResult(IReadOnlyList<Entity> Entities) : PredictionResult;

/// <summary>A part of the text with a label.</summary>
/// <param name="Label">The label as the config has it without aggregation, without its B- or I- with one.</param>
/// <param name="Score">Probability: the token's, the word's, or the mean over the group.</param>
/// <param name="Start">First code point in the text.</param>
/// <param name="End">One past the last code point in the text.</param>
/// <param name="Text">That part of the text.</param>
/// <param name="TokenIndex">Index of the token, without aggregation only.</param>
public sealed record Entity(string Label, double Score, int Start, int End, string Text, int? TokenIndex = null);
