namespace InferenceServer.Engine.Tasks.TextClassification;

/// <summary>The labels of one input, best first.</summary>
public sealed record TextClassificationResult(IReadOnlyList<LabelScore> Labels) : PredictionResult;
