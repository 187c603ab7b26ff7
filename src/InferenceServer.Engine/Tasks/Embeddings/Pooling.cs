using System.Numerics.Tensors;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>
/// Token vectors to one vector, as sentence-transformers' <c>Pooling</c> module does it: several modes are concatenated in the order cls, max, mean, mean_sqrt_len,
/// weightedmean, lasttoken, unless the folder lists them in another. Reads the native row; only the result is allocated.
/// </summary>
internal static class Pooling
{
    private static readonly (string Name, PoolingMode Mode)[] Names =
    [
        ("cls", PoolingMode.Cls),
        ("max", PoolingMode.Max),
        ("mean", PoolingMode.Mean),
        ("mean_sqrt_len", PoolingMode.MeanSqrtLen),
        ("weightedmean", PoolingMode.WeightedMean),
        ("lasttoken", PoolingMode.LastToken),
        ("mean_sqrt_len_tokens", PoolingMode.MeanSqrtLen), // as sentence-transformers writes it
    ];

    /// <summary>The names that a request may use.</summary>
    public static string Known => string.Join(", ", Names.Take(6).Select(name => name.Name));

    /// <summary>The modes of <c>cls+mean</c> in the order of concatenation; null when a name is unknown or none is given.</summary>
    public static PoolingMode[]? Parse(string text)
    {
        var modes = new SortedSet<PoolingMode>();
        foreach (var part in text.Split('+', StringSplitOptions.TrimEntries))
        {
            var index = Array.FindIndex(Names, name => name.Name == part);
            if (index < 0)
            {
                return null;
            }

            modes.Add(Names[index].Mode);
        }

        return [.. modes];
    }

    /// <summary>The modes as a request writes them.</summary>
    public static string Format(IEnumerable<PoolingMode> modes) => string.Join('+', modes.Select(mode => Names.First(name => name.Mode == mode).Name));

    /// <summary>Pools the token vectors <c>[S, D]</c> of a row into <c>[modes * D]</c>.</summary>
    /// <param name="states">The token states.</param>
    /// <param name="length">Tokens of the sequence; what follows is padding.</param>
    /// <param name="skip">Leading tokens that do not count (the prompt's), except for cls.</param>
    /// <param name="modes">The modes.</param>
    public static float[] Pool(OutputRow states, int length, int skip, IReadOnlyList<PoolingMode> modes)
    {
        var size = states.Shape[1];
        var result = new float[modes.Count * size];
        for (var m = 0; m < modes.Count; m++)
        {
            var target = result.AsSpan(m * size, size);
            switch (modes[m])
            {
                case PoolingMode.Cls:
                    states.At(0).CopyTo(target);
                    break;
                case PoolingMode.LastToken:
                    states.At(length - 1).CopyTo(target);
                    break;
                case PoolingMode.Max:
                    target.Fill(-1e9f); // what the reference puts at positions that do not count
                    for (var i = skip; i < length; i++)
                    {
                        TensorPrimitives.Max(target, states.At(i), target);
                    }

                    break;
                case PoolingMode.WeightedMean:
                    var weights = 0f;
                    for (var i = skip; i < length; i++)
                    {
                        TensorPrimitives.MultiplyAdd(states.At(i), i + 1f, target, target);
                        weights += i + 1;
                    }

                    TensorPrimitives.Divide(target, Math.Max(weights, 1e-9f), target);
                    break;
                default:
                    for (var i = skip; i < length; i++)
                    {
                        TensorPrimitives.Add(target, states.At(i), target);
                    }

                    var count = Math.Max(length - skip, 1e-9f);
                    TensorPrimitives.Divide(target, modes[m] == PoolingMode.Mean ? count : MathF.Sqrt(count), target);
                    break;
            }
        }

        return result;
    }
}
