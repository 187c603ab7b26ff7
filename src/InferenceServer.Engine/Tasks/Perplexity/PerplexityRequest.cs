namespace InferenceServer.Engine.Tasks.Perplexity;

/// <summary>How surprising are texts for a causal language model?</summary>
public sealed record PerplexityRequest : PredictionRequest;
