using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Onnx.Proto;

namespace InferenceServer.Engine.Onnx;

/// <summary>
/// Products with weights of a few bits, <c>com.microsoft MatMulNBits</c> (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md): what their
/// <c>accuracy_level</c> says activations are computed in.
/// </summary>
internal static class PackedProducts
{
    /// <summary>The level at which activations are quantised to int8, with one scale a block of a row.</summary>
    public const int Int8Activations = 4;

    private const string Level = "accuracy_level";

    /// <summary>True for such a product.</summary>
    public static bool Is(OnnxNode node) => node.OpType == "MatMulNBits";

    /// <summary>True when it quantises activations.</summary>
    public static bool QuantizesBlocks(OnnxNode node) => Is(node) && node.Attribute(Level)?.Integer == Int8Activations;

    /// <summary>The attribute of a level.</summary>
    public static AttributeProto Accuracy(int level) => AttributeProto.Of(Level, level);

    /// <summary>Has all of them computed at a level.</summary>
    /// <exception cref="ModelLoadException">There is none.</exception>
    public static void SetAccuracy(OnnxModel model, GraphEdit edit, int level)
    {
        var products = model.Graph.Nodes.FindAll(Is);
        if (products.Count == 0)
        {
            throw new ModelLoadException($"{Path.GetFileName(model.FilePath)} has no products with packed weights (MatMulNBits), which the setting AccuracyLevel is for. Remove the setting.");
        }

        foreach (var node in products)
        {
            edit.Replace(node, edit.Rewrite(node, node.Outputs, Accuracy(level)));
        }
    }
}
