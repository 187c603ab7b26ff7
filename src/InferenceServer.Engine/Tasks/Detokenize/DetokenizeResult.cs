namespace InferenceServer.Engine.Tasks.Detokenize;

/// <summary>The texts, in the order of the sequences.</summary>
public sealed record DetokenizeResult(IReadOnlyList<string> Texts);
