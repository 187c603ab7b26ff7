using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>Reads the wanted blocks of a row's attention tensors, puts heads and layers together, and merges tokens into words.</summary>
internal sealed class AttentionReading
{
    private readonly AttentionSelection selection;
    private readonly AttentionAggregate? aggregate;
    private readonly AttentionSequence sequence; // of the queries
    private readonly AttentionSequence keySequence;
    private readonly int[] queryUnits;
    private readonly int[] keyUnits;
    private readonly int[] queryTokens;
    private readonly int[] keyTokens;
    private readonly bool describe;
    private readonly int? side; // of pictures that are made while the row is read
    private readonly bool contiguous;
    private readonly int matrices;
    private float[] values = [];
    private float[][][] paths = []; // [group][layer][S * S], with the residual connection

    /// <summary>Prepares a reading of units <paramref name="queries"/> of a sequence and units <paramref name="keys"/> of the same or, of cross attention, another.</summary>
    public AttentionReading(AttentionSelection selection, AttentionAggregate? aggregate, AttentionSequence sequence, AttentionSequence keySequence, int[] queries, int[] keys, bool describe, int? side = null)
    {
        this.side = aggregate is null ? side : null;
        this.keySequence = keySequence;
        this.selection = selection;
        this.aggregate = aggregate;
        this.sequence = sequence;
        this.describe = describe;
        (queryUnits, keyUnits) = (queries, keys);
        queryTokens = [.. queries.SelectMany(unit => sequence.Pieces[unit])];
        keyTokens = [.. keys.SelectMany(unit => keySequence.Pieces[unit])];
        contiguous = keyTokens[^1] - keyTokens[0] == keyTokens.Length - 1;
        matrices = (aggregate?.Over is AggregateOver.Layers or AggregateOver.All ? 1 : selection.Layers.Length) * (aggregate?.Over is AggregateOver.Heads or AggregateOver.All ? 1 : selection.Heads.Length);
    }

    /// <summary>Whether <see cref="Paths"/> makes the values.</summary>
    public bool NeedsPaths => aggregate?.Method is AggregateMethod.Rollout or AggregateMethod.Flow;

    /// <summary>Whether <see cref="Values"/> are pictures already.</summary>
    public bool IsPooled => side is not null;

    /// <summary>Each chosen head in numbers, where they are asked for.</summary>
    public IReadOnlyList<HeadStatistics> Statistics { get; private set; } = [];

    /// <summary>What led to the probabilities, as far as it is asked for.</summary>
    public IReadOnlyList<AttentionComponent> Components { get; private set; } = [];

    /// <summary>Reads a row on the worker's thread.</summary>
    public bool Read(RowOutputs row)
    {
        ReadComponents(row);
        var statistics = new List<HeadStatistics>();
        var described = describe ? new AttentionHead(sequence.Tokens, selection.Kind == AttentionKind.Decoder) : null;
        var block = queryTokens.Length * keyTokens.Length;
        var (height, width) = side is { } most ? (AttentionThumbnail.Side(queryUnits.Length, most), AttentionThumbnail.Side(keyUnits.Length, most)) : (0, 0);
        var scratch = side is null ? [] : new float[block];
        var (layers, heads) = (selection.Layers.Length, selection.Heads.Length);
        if (NeedsPaths)
        {
            paths = [.. Enumerable.Range(0, aggregate!.Over == AggregateOver.Layers ? heads : 1).Select(_ => new float[layers][])];
        }
        else
        {
            values = new float[matrices * (side is null ? block : height * width)];
        }

        for (var l = 0; l < layers; l++)
        {
            var output = row[selection.Outputs[l].Output];
            if (selection.Heads.Max() >= output.Shape[0])
            {
                throw InferenceException.Unprocessable(Argument.Of(nameof(AttentionRequest.Heads)), $"Layer {selection.Layers[l]} has {output.Shape[0]} heads; heads go from 0 to {output.Shape[0] - 1} there.");
            }

            for (var h = 0; h < heads; h++)
            {
                var head = selection.Heads[h];
                if (described is not null)
                {
                    var matrix = output.Data.Slice(head * output.Shape[1] * output.Shape[2], row.Length * output.Shape[2]);
                    statistics.Add(described.Describe(selection.Layers[l], head, matrix, output.Shape[2]));
                }

                if (NeedsPaths)
                {
                    AddToPath(output, head, row.Length, ref paths[aggregate!.Over == AggregateOver.Layers ? h : 0][l]);
                    continue;
                }

                if (side is not null)
                {
                    Add(output, head, scratch);
                    AttentionThumbnail.Pool(Merge(scratch, 1), queryUnits.Length, keyUnits.Length, values.AsSpan(((l * heads) + h) * height * width, height * width), height, width);
                    continue;
                }

                var target = aggregate?.Over switch
                {
                    AggregateOver.Heads => l,
                    AggregateOver.Layers => h,
                    AggregateOver.All => 0,
                    _ => (l * heads) + h,
                };
                Add(output, head, values.AsSpan(target * block, block));
            }
        }

        Statistics = statistics;
        Scale(layers, heads);
        return true;
    }

    // Queries and what is computed of them by query, keys and values by key. Fewer heads than queries have: grouped, each serves several.
    private void ReadComponents(RowOutputs row)
    {
        if (selection.Parts.Count == 0)
        {
            return;
        }

        var (layers, heads) = (selection.Layers.Length, selection.Heads.Length);
        var components = new List<AttentionComponent>();
        foreach (var (part, outputs) in selection.Parts)
        {
            var (tokens, width) = (part is AttentionPart.K or AttentionPart.V ? keyTokens : queryTokens, 0);
            float[] numbers = [];
            for (var l = 0; l < layers; l++)
            {
                var output = row[outputs[l]];
                var shape = output.Shape;
                var own = shape.Length == 3 ? shape[0] : 1;
                var (length, size) = (shape[^2], shape[^1]);
                if (numbers.Length == 0)
                {
                    width = part == AttentionPart.Scores ? keyTokens.Length : size;
                    numbers = new float[layers * heads * tokens.Length * width];
                }

                var all = row[selection.Outputs[l].Output].Shape[0];
                for (var h = 0; h < heads; h++)
                {
                    var head = own == all ? selection.Heads[h] : selection.Heads[h] * own / all;
                    for (var t = 0; t < tokens.Length; t++)
                    {
                        var source = output.Data.Slice(((head * length) + tokens[t]) * size, size);
                        var target = numbers.AsSpan(((((l * heads) + h) * tokens.Length) + t) * width, width);
                        if (part == AttentionPart.Scores)
                        {
                            Pick(source, target);
                        }
                        else
                        {
                            source.CopyTo(target);
                        }
                    }
                }
            }

            components.Add(new AttentionComponent(part, [layers, heads, tokens.Length, width], numbers));
        }

        Components = components;
    }

    /// <summary>The values of the answer, row-major, words merged.</summary>
    public float[] Values() => IsPooled ? values : Merge(values, matrices);

    /// <summary>The values of a rollout or a flow.</summary>
    public float[] Paths(CancellationToken cancellation)
    {
        var size = sequence.Tokens.Length;
        var block = queryTokens.Length * keyTokens.Length;
        values = new float[matrices * block];
        for (var g = 0; g < paths.Length; g++)
        {
            foreach (var layer in paths[g])
            {
                AttentionFlow.AddResidual(layer, size);
            }

            if (aggregate!.Over == AggregateOver.Heads)
            {
                ToEachLayer(paths[g], size, cancellation);
            }
            else
            {
                ThroughAll(paths[g], size, values.AsSpan(g * block, block), cancellation);
            }
        }

        return Merge(values, matrices);
    }

    private void ToEachLayer(float[][] layers, int size, CancellationToken cancellation)
    {
        var block = queryTokens.Length * keyTokens.Length;
        if (aggregate!.Method == AggregateMethod.Flow)
        {
            for (var l = 0; l < layers.Length; l++)
            {
                ThroughAll(layers.AsSpan(0, l + 1), size, values.AsSpan(l * block, block), cancellation);
            }

            return;
        }

        var next = 0;
        foreach (var rollout in AttentionFlow.Rollouts(layers, size, cancellation))
        {
            for (var q = 0; q < queryTokens.Length; q++)
            {
                Pick(rollout.AsSpan(queryTokens[q] * size, size), values.AsSpan(next, keyTokens.Length));
                next += keyTokens.Length;
            }
        }
    }

    private void ThroughAll(ReadOnlySpan<float[]> layers, int size, Span<float> target, CancellationToken cancellation)
    {
        for (var q = 0; q < queryTokens.Length; q++)
        {
            cancellation.ThrowIfCancellationRequested();
            var row = target.Slice(q * keyTokens.Length, keyTokens.Length);
            if (aggregate!.Method == AggregateMethod.Rollout)
            {
                Pick(AttentionFlow.RolloutRow(layers, size, queryTokens[q]), row);
                continue;
            }

            for (var k = 0; k < row.Length; k++)
            {
                row[k] = (float)AttentionFlow.MaximumFlow(layers, size, queryTokens[q], keyTokens[k], cancellation);
            }
        }
    }

    private void Pick(ReadOnlySpan<float> row, Span<float> target)
    {
        for (var k = 0; k < keyTokens.Length; k++)
        {
            target[k] = row[keyTokens[k]];
        }
    }

    private static void AddToPath(OutputRow output, int head, int size, ref float[] sum)
    {
        sum ??= new float[size * size];
        for (var q = 0; q < size; q++)
        {
            var target = sum.AsSpan(q * size, size);
            TensorPrimitives.Add(target, output.At(head, q)[..size], target);
        }
    }

    private void Add(OutputRow output, int head, Span<float> target)
    {
        for (var q = 0; q < queryTokens.Length; q++)
        {
            var source = output.At(head, queryTokens[q]);
            var row = target.Slice(q * keyTokens.Length, keyTokens.Length);
            if (!contiguous)
            {
                for (var k = 0; k < row.Length; k++)
                {
                    var value = source[keyTokens[k]];
                    row[k] = aggregate is null ? value : aggregate.Method == AggregateMethod.Max ? Math.Max(row[k], value) : row[k] + value;
                }

                continue;
            }

            source = source.Slice(keyTokens[0], keyTokens.Length);
            if (aggregate is null)
            {
                source.CopyTo(row);
            }
            else if (aggregate.Method == AggregateMethod.Max)
            {
                TensorPrimitives.Max(row, source, row);
            }
            else
            {
                TensorPrimitives.Add(row, source, row);
            }
        }
    }

    /// <summary>Sums become means.</summary>
    private void Scale(int layers, int heads)
    {
        if (NeedsPaths && aggregate!.Over != AggregateOver.Layers)
        {
            foreach (var layer in paths[0])
            {
                TensorPrimitives.Divide(layer, heads, layer);
            }
        }
        else if (aggregate?.Method == AggregateMethod.Mean)
        {
            var count = aggregate.Over switch { AggregateOver.Heads => heads, AggregateOver.Layers => layers, _ => layers * heads };
            TensorPrimitives.Divide(values, count, values);
        }
    }

    /// <summary>Tokens to units: the sum over a key's pieces, the mean over a query's.</summary>
    private float[] Merge(float[] tokens, int matrices)
    {
        if (queryTokens.Length == queryUnits.Length && keyTokens.Length == keyUnits.Length)
        {
            return tokens;
        }

        var merged = new float[matrices * queryUnits.Length * keyUnits.Length];
        var target = 0;
        var source = 0;
        for (var m = 0; m < matrices; m++)
        {
            foreach (var query in queryUnits)
            {
                var row = merged.AsSpan(target, keyUnits.Length);
                target += keyUnits.Length;
                var pieces = sequence.Pieces[query].Length;
                for (var p = 0; p < pieces; p++)
                {
                    for (var k = 0; k < keyUnits.Length; k++)
                    {
                        for (var i = 0; i < keySequence.Pieces[keyUnits[k]].Length; i++)
                        {
                            row[k] += tokens[source++] / pieces;
                        }
                    }
                }
            }
        }

        return merged;
    }
}
