namespace InferenceServer.Engine.Execution;

/// <summary>Another form of a decoder's graph, in fewer and larger operators, for which tables of rotary positions have to be computed.</summary>
/// <param name="Version">Names the rules that it is made by.</param>
/// <param name="Tables">Tensors of cosines and sines of every position <c>[.., position, head]</c>.</param>
/// <param name="Positions">Positions that they are needed for.</param>
/// <param name="TableModel">The nodes that make them of the positions, as a model of their own; given the folder that paths of weights start from.</param>
/// <param name="Apply">The rewritten model; given the first half of each table <c>[position, head / 2]</c> and the <c>accuracy_level</c>, null: as the file says.</param>
internal sealed record GraphRewrite(
    string Version, IReadOnlyList<string> Tables, int Positions, Func<string, byte[]> TableModel, Func<IReadOnlyDictionary<string, float[]>, int?, byte[]> Apply);
