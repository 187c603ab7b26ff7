namespace InferenceServer.Engine.Onnx;

/// <summary>Tables that token ids are looked up in: a Gather (or its quantised and fused forms) from a weight by <c>input_ids</c>.</summary>
internal static class TokenTable
{
    private const int MostHops = 16;

    private static readonly HashSet<string> Kept = ["Unsqueeze", "Squeeze", "Reshape", "Cast", "Identity", "Flatten"];

    /// <summary>Rows of the smallest table; null when there is none.</summary>
    public static int? Rows(GraphIndex index)
    {
        long? smallest = null;
        foreach (var node in index.Graph.Nodes)
        {
            var (table, ids) = node switch
            {
                { OpType: "Gather", IsStandard: true } when (node.Attribute("axis")?.Integer ?? 0) == 0 => (node.Input(0), node.Input(1)),
                { OpType: "GatherBlockQuantized" } when (node.Attribute("gather_axis")?.Integer ?? 0) == 0 => (node.Input(0), node.Input(1)),
                { OpType: "EmbedLayerNormalization" } => (node.Input(2), node.Input(0)),
                _ => ("", ""),
            };
            if (table.Length > 0 && index.Constant(table) is { Dims: [var rows, > 1] } && IsTokens(index, ids))
            {
                smallest = Math.Min(smallest ?? long.MaxValue, rows);
            }
        }

        return smallest is > 0 and <= int.MaxValue ? (int)smallest : null;
    }

    private static bool IsTokens(GraphIndex index, string tensor)
    {
        for (var hops = 0; hops < MostHops; hops++)
        {
            if (tensor is "input_ids" or "input_ids:0")
            {
                return true;
            }

            if (index.Producer(tensor) is not { } node || !Kept.Contains(node.OpType))
            {
                return false;
            }

            tensor = node.Input(0);
        }

        return false;
    }
}
