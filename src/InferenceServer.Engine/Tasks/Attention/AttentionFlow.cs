using System.Numerics.Tensors;
using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>
/// Attention rollout and attention flow (Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3), on layers that already hold the residual
/// connection: <c>0.5 A + 0.5 I</c>, each <c>[S, S]</c> row-major, query before key, the first layer first.
/// </summary>
internal static class AttentionFlow
{
    private const double Epsilon = 1e-9;

    /// <summary>Adds the residual connection to a layer, in place.</summary>
    public static void AddResidual(Span<float> layer, int size)
    {
        TensorPrimitives.Multiply(layer, 0.5f, layer);
        for (var i = 0; i < size; i++)
        {
            layer[(i * size) + i] += 0.5f;
        }
    }

    /// <summary>A row of the rollout: what <paramref name="token"/> of the last layer gets from each token of the input. Costs layers times S squared.</summary>
    public static float[] RolloutRow(ReadOnlySpan<float[]> layers, int size, int token)
    {
        var row = layers[^1].AsSpan(token * size, size).ToArray();
        for (var l = layers.Length - 2; l >= 0; l--)
        {
            var next = new float[size];
            for (var i = 0; i < size; i++)
            {
                TensorPrimitives.MultiplyAdd(layers[l].AsSpan(i * size, size), row[i], next, next);
            }

            row = next;
        }

        return row;
    }

    /// <summary>The rollout from the first layer to each layer, whole: <c>R = A_l R</c>.</summary>
    public static IEnumerable<float[]> Rollouts(float[][] layers, int size, CancellationToken cancellation)
    {
        float[]? rollout = null;
        foreach (var layer in layers)
        {
            if (rollout is null)
            {
                rollout = layer;
                yield return rollout;
                continue;
            }

            var next = new float[size * size];
            for (var q = 0; q < size; q++)
            {
                cancellation.ThrowIfCancellationRequested();
                var target = next.AsSpan(q * size, size);
                for (var i = 0; i < size; i++)
                {
                    TensorPrimitives.MultiplyAdd(rollout.AsSpan(i * size, size), layer[(q * size) + i], target, target);
                }
            }

            rollout = next;
            yield return rollout;
        }
    }

    /// <summary>
    /// The maximum flow from <paramref name="token"/> of the last layer to token <paramref name="target"/> of the input, in the graph that has a node for each token of
    /// each layer and the layers' values as capacities (Dinic's algorithm; nodes are <c>level * S + token</c>, level 0 is the input).
    /// </summary>
    public static double MaximumFlow(ReadOnlySpan<float[]> layers, int size, int token, int target, CancellationToken cancellation)
    {
        var depth = layers.Length;
        var forward = new double[depth][]; // residual capacity from (l + 1, i) to (l, j)
        var backward = new double[depth][]; // flow that can be taken back, from (l, j) to (l + 1, i)
        for (var l = 0; l < depth; l++)
        {
            forward[l] = Array.ConvertAll(layers[l], value => (double)value);
            backward[l] = new double[size * size];
        }

        var (source, sink) = ((depth * size) + token, target);
        var level = new int[(depth + 1) * size];
        var next = new int[level.Length];
        var queue = new Queue<int>();
        var total = 0.0;
        while (Levels())
        {
            cancellation.ThrowIfCancellationRequested();
            Array.Clear(next);
            double pushed;
            while ((pushed = Push(source, double.MaxValue)) > Epsilon)
            {
                total += pushed;
            }
        }

        return total;

        // Breadth first: how many steps each node is from the source; false when the sink cannot be reached.
        bool Levels()
        {
            Array.Fill(level, -1);
            level[source] = 0;
            queue.Clear();
            queue.Enqueue(source);
            while (queue.TryDequeue(out var node))
            {
                for (var edge = 0; edge < 2 * size; edge++)
                {
                    var other = Edge(node, edge, out var capacity);
                    if (capacity > Epsilon && level[other] < 0)
                    {
                        level[other] = level[node] + 1;
                        queue.Enqueue(other);
                    }
                }
            }

            return level[sink] >= 0;
        }

        // The edges of a node: the first S lead down, the others take flow back.
        int Edge(int node, int edge, out double capacity)
        {
            var (l, i) = (node / size, node % size);
            var j = edge % size;
            if (edge < size)
            {
                capacity = l > 0 ? forward[l - 1][(i * size) + j] : 0;
                return ((l - 1) * size) + j;
            }

            capacity = l < depth ? backward[l][(j * size) + i] : 0;
            return ((l + 1) * size) + j;
        }

        // Depth first along the levels; next[] remembers which edges are used up.
        double Push(int node, double limit)
        {
            if (node == sink)
            {
                return limit;
            }

            RuntimeHelpers.EnsureSufficientExecutionStack(); // paths are as deep as the layers, and a little more
            for (; next[node] < 2 * size; next[node]++)
            {
                var other = Edge(node, next[node], out var capacity);
                if (capacity <= Epsilon || level[other] != level[node] + 1)
                {
                    continue;
                }

                var pushed = Push(other, Math.Min(limit, capacity));
                if (pushed <= Epsilon)
                {
                    continue;
                }

                var (l, i, j) = (node / size, node % size, other % size);
                if (next[node] < size)
                {
                    forward[l - 1][(i * size) + j] -= pushed;
                    backward[l - 1][(i * size) + j] += pushed;
                }
                else
                {
                    backward[l][(j * size) + i] -= pushed;
                    forward[l][(j * size) + i] += pushed;
                }

                return pushed;
            }

            return 0;
        }
    }
}
