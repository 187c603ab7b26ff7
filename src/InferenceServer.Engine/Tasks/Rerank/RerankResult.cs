namespace InferenceServer.Engine.Tasks.Rerank;

/// <summary>The documents, best first.</summary>
public sealed record RerankResult(IReadOnlyList<RankedDocument> Results);

/// <summary>A document and how well it answers the query.</summary>
/// <param name="Index">Its place in the request.</param>
/// <param name="Score">What the folder's activation makes of the logit, else its sigmoid, or the logit (cross-encoder); or similarity (bi-encoder).</param>
/// <param name="Document">Its text, when asked for.</param>
/// <param name="Truncated">True when something of it, or of the query beside it, was cut off; else null.</param>
public sealed record RankedDocument(int Index, double Score, string? Document = null, bool? Truncated = null);
