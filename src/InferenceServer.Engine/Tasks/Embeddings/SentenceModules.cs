using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>What follows the pooling in a sentence-transformers pipeline: Dense, LayerNorm, Normalize, on one vector.</summary>
internal static class SentenceModules
{
    /// <summary>Applies a module to <c>[D]</c>; Dense gives another size, the others work in place.</summary>
    public static float[] Apply(SentenceModule module, float[] vector)
    {
        switch (module)
        {
            case DenseModule dense:
                return Dense(dense, vector);
            case LayerNormModule norm:
                LayerNorm(norm, vector);
                return vector;
            case NormalizeModule:
                Normalize(vector);
                return vector;
            default:
                return vector;
        }
    }

    /// <summary>Unit length (L2), as <c>torch.nn.functional.normalize</c>: a vector of zeros stays.</summary>
    public static void Normalize(Span<float> vector) => TensorPrimitives.Divide(vector, Math.Max(TensorPrimitives.Norm(vector), 1e-12f), vector);

    private static float[] Dense(DenseModule dense, float[] vector)
    {
        if (vector.Length != dense.InFeatures)
        {
            throw InferenceException.Unprocessable(
                Argument.Of(nameof(EmbeddingsRequest.Pooling)),
                $"The pooled vector has {vector.Length} dimensions and the model's Dense module takes {dense.InFeatures}: choose no pooling, or ask for one that gives {dense.InFeatures} dimensions.");
        }

        var result = new float[dense.OutFeatures];
        for (var i = 0; i < result.Length; i++)
        {
            result[i] = TensorPrimitives.Dot(dense.Weight.AsSpan(i * dense.InFeatures, dense.InFeatures), vector) + (dense.Bias?[i] ?? 0f);
        }

        Activate(dense.Activation, result);
        for (var i = 0; dense.UseResidual && i < result.Length; i++)
        {
            result[i] += dense.Residual is { } residual ? TensorPrimitives.Dot(residual.AsSpan(i * dense.InFeatures, dense.InFeatures), vector) : vector[i];
        }

        return result;
    }

    private static void LayerNorm(LayerNormModule norm, float[] vector)
    {
        var mean = TensorPrimitives.Sum(vector) / vector.Length;
        TensorPrimitives.Subtract(vector, mean, vector);
        var variance = TensorPrimitives.SumOfSquares(vector) / vector.Length;
        TensorPrimitives.Divide(vector, MathF.Sqrt(variance + norm.Epsilon), vector);
        TensorPrimitives.MultiplyAdd(vector, norm.Weight, norm.Bias, vector);
    }

    /// <summary>The activations of <c>torch.nn</c> with their default parameters, by the last part of their name; null for another.</summary>
    internal static Func<float, float>? Activation(string name) => name switch
    {
        "Identity" or "" => static v => v,
        "Tanh" => MathF.Tanh,
        "ReLU" => static v => Math.Max(v, 0),
        "GELU" => static v => (float)(0.5 * v * (1 + Erf(v / Math.Sqrt(2)))),
        "SiLU" => static v => v / (1 + MathF.Exp(-v)),
        "Sigmoid" => static v => 1 / (1 + MathF.Exp(-v)),
        _ => null,
    };

    private static void Activate(string activation, float[] x)
    {
        var function = Activation(activation[(activation.LastIndexOf('.') + 1)..]) ?? throw new InferenceException(
            ErrorCode.Unprocessable,
            $"The model's Dense module has the activation {activation}, which is not supported. Supported: Identity, Tanh, ReLU, GELU, SiLU, Sigmoid.");
        for (var i = 0; i < x.Length; i++)
        {
            x[i] = function(x[i]);
        }
    }

    /// <summary>The error function to about 1e-15: its Maclaurin series for small arguments, the continued fraction of erfc for large ones (Abramowitz and Stegun 7.1.6, 7.1.14).</summary>
    internal static double Erf(double x)
    {
        var z = Math.Abs(x);
        double result;
        if (z < 2.5)
        {
            double term = z, sum = z;
            for (var n = 1; term > 1e-17 * sum; n++)
            {
                term *= 2 * z * z / ((2 * n) + 1);
                sum += term;
            }

            result = 2 / Math.Sqrt(Math.PI) * Math.Exp(-z * z) * sum;
        }
        else
        {
            var fraction = 0.0;
            for (var n = 60; n >= 1; n--)
            {
                fraction = n / 2.0 / (z + fraction);
            }

            result = 1 - (Math.Exp(-z * z) / (Math.Sqrt(Math.PI) * (z + fraction)));
        }

        return x < 0 ? -result : result;
    }
}
