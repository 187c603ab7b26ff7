namespace InferenceServer.Engine.Onnx;

/// <summary>Finds a causal mask in what is added to, or chosen instead of, the scores before Softmax.</summary>
internal static class CausalMask
{
    public static bool IsIn(OnnxModel model, GraphIndex index, IReadOnlyList<AttentionSite> sites) => false;
}
