namespace InferenceServer.Engine.Tasks.ZeroShot;

/// <summary>The labels of one input, best first.</summary>
public sealed record ZeroShotResult(IReadOnlyList<LabelScore> Labels) : PredictionResult;
