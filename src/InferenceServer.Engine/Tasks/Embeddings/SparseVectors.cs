using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>A vector over the vocabulary of which most values are 0.</summary>
/// <param name="Indices">Token ids whose value is not 0, ascending.</param>
/// <param name="Values">Their values.</param>
/// <param name="Size">Dimensions: the size of the vocabulary that the graph knows.</param>
internal sealed record SparseVector(int[] Indices, float[] Values, int Size)
{
    /// <summary>The score of two vectors, as <c>SimilarityFunction</c> of sentence-transformers has it: distances are negative.</summary>
    public static double Score(string function, SparseVector a, SparseVector b)
    {
        var (dot, squares, absolute) = (0.0, 0.0, 0.0);
        var (i, j) = (0, 0);
        while (i < a.Indices.Length || j < b.Indices.Length)
        {
            var (inA, inB) = (i < a.Indices.Length ? a.Indices[i] : int.MaxValue, j < b.Indices.Length ? b.Indices[j] : int.MaxValue);
            var x = inA <= inB ? a.Values[i++] : 0f;
            var y = inB <= inA ? b.Values[j++] : 0f;
            dot += (double)x * y;
            squares += ((double)x - y) * ((double)x - y);
            absolute += Math.Abs((double)x - y);
        }

        return function switch
        {
            "dot" => dot,
            "euclidean" => -Math.Sqrt(squares),
            "manhattan" => -absolute,
            _ => dot / (Math.Max(TensorPrimitives.Norm<float>(a.Values), 1e-12) * Math.Max(TensorPrimitives.Norm<float>(b.Values), 1e-12)),
        };
    }
}

/// <summary>SPLADE: sparse vectors over the vocabulary, made of the logits of a masked language model (<see cref="SparsePooling"/>).</summary>
internal static class SparseVectors
{
    /// <summary>Whether the model makes sparse vectors: its folder says how, and its graph gives the logits.</summary>
    public static bool ArePossible(Model model) =>
        model.Manifest.Sentence is { Sparse: not null, Unsupported: null } && model.Capabilities.Head is { Kind: HeadKind.MaskedLanguageModel };

    /// <summary>The sparse vector of each input.</summary>
    /// <exception cref="InferenceException">A value is no number, or the queue refused.</exception>
    public static Task<SparseVector[]> OfAsync(Model model, IReadOnlyList<EmbeddingInput> inputs, bool normalize, RequestContext context)
    {
        var output = model.Capabilities.Head!.Output;
        var pooling = model.Manifest.Sentence!.Sparse!;
        return model.Executor.RunAsync([.. inputs.Select(input => input.Windows[0].Graph)], [output], (i, row) => Read(row[output], row.Length, pooling, normalize, inputs[i].Argument), context);
    }

    private static SparseVector Read(OutputRow logits, int length, SparsePooling pooling, bool normalize, Argument input)
    {
        // Both logarithms grow with their argument, so that the largest logit has the largest value: one logarithm a dimension is enough.
        var pooled = new float[logits.Shape[1]];
        for (var i = 0; i < length; i++)
        {
            var row = Finite.Require(logits.At(i), input);
            if (!pooling.Sum)
            {
                TensorPrimitives.Max(pooled, row, pooled); // from 0 on: max(0, x)
                continue;
            }

            for (var k = 0; k < row.Length; k++)
            {
                pooled[k] += row[k] > 0 ? Value(row[k], pooling) : 0;
            }
        }

        int[] indices = [.. Enumerable.Range(0, pooled.Length).Where(k => pooled[k] > 0)];
        var values = Array.ConvertAll(indices, k => pooling.Sum ? pooled[k] : Value(pooled[k], pooling));
        if (normalize)
        {
            SentenceModules.Normalize(values);
        }

        return new SparseVector(indices, values, pooled.Length);
    }

    private static float Value(float logit, SparsePooling pooling)
    {
        var once = float.LogP1(logit);
        return pooling.TwiceLog ? float.LogP1(once) : once;
    }
}
