using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tasks;

/// <summary>Checks that a model's output holds numbers: NaN and infinity are never made into an answer.</summary>
internal static class Finite
{
    /// <summary>The values, every one of which is a number.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.NotFinite"/>: one is not; it names the input.</exception>
    public static ReadOnlySpan<float> Require(ReadOnlySpan<float> values, Argument input) => TensorPrimitives.IsFiniteAll(values) ? values : throw Refused(input);

    /// <summary>The sum over a row of logits (<see cref="Logits.LogSumExp"/>), which is a number unless one of them is NaN or infinite. Logits of minus infinity, which rule a token out, are none of these.</summary>
    /// <exception cref="InferenceException"><see cref="ErrorCode.NotFinite"/>: it is none; it names the input.</exception>
    public static double Require(double logSumExp, Argument input) => double.IsFinite(logSumExp) ? logSumExp : throw Refused(input);

    private static InferenceException Refused(Argument input) => new(
        ErrorCode.NotFinite,
        $"For {input} the model gave values that are no numbers (NaN or infinity): the precision of its weights is probably too low for this input. Change or leave out {input}, or have the model served from a file of higher precision.",
        input);
}
