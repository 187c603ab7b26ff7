namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>What led to the probabilities of the chosen layers and heads.</summary>
/// <param name="Tensors">The tensors that were asked for, row-major: q and context <c>[layer, head, query, d]</c>, k and v <c>[layer, head, key, d]</c>, scores <c>[layer, head, query, key]</c>.</param>
/// <param name="Scale">What each layer multiplies the products of q and k with, one a layer; null where the graph does not show it.</param>
public sealed record AttentionComponents(IReadOnlyList<AttentionComponent> Tensors, IReadOnlyList<float?> Scale);

/// <summary>One of them.</summary>
/// <param name="Name"><c>q</c>, <c>k</c>, <c>v</c>, <c>scores</c> or <c>context</c>.</param>
/// <param name="Shape">Length of each axis.</param>
/// <param name="Values">The numbers.</param>
public sealed record AttentionComponent(string Name, IReadOnlyList<int> Shape, float[] Values);
