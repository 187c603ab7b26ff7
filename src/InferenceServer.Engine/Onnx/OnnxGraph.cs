using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Onnx;

/// <summary>An ONNX file: what its graph says, and the edit that makes its attention probabilities outputs.</summary>
public sealed class OnnxGraph
{
    private readonly OnnxModel model;
    private readonly GraphEdit edit;
    private readonly ModelConfig config;

    private OnnxGraph(OnnxModel model, ModelConfig config, GraphSummary summary, GraphEdit edit)
    {
        this.model = model;
        this.config = config;
        Summary = summary;
        this.edit = edit;
    }

    /// <summary>What the graph says of itself.</summary>
    public GraphSummary Summary { get; }

    /// <summary>True when the file cannot be handed over as it is: <see cref="ReadModel"/> gives the edited one.</summary>
    public bool IsEdited => !edit.IsEmpty;

    /// <summary>
    /// Reads the graph of a file without its weights. <paramref name="config"/> gives the head count where probabilities lack their axis.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="config">config.json.</param>
    /// <param name="accuracyLevel">What products with packed weights are computed at; null: as the file says.</param>
    /// <exception cref="ModelLoadException">The file is no complete ONNX model, its external data is missing or outside the folder, or it has no packed weights for <paramref name="accuracyLevel"/>.</exception>
    public static OnnxGraph Read(string path, ModelConfig config, int? accuracyLevel = null)
    {
        var model = OnnxModel.Read(path);
        ExternalData.Check(model);
        var edit = new GraphEdit(model);
        var summary = GraphReader.Summarise(model, config, edit);
        if (accuracyLevel is { } level)
        {
            PackedProducts.SetAccuracy(model, edit, level);
            summary = summary with { QuantizesBlocks = level == PackedProducts.Int8Activations };
        }

        ExternalData.Relocate(model, edit);
        return new OnnxGraph(model, config, summary, edit);
    }

    /// <summary>The file with its products with packed weights at another accuracy, and nothing else changed.</summary>
    /// <param name="level"><c>accuracy_level</c> of MatMulNBits.</param>
    internal byte[] AtAccuracy(int level) => Edited(own => PackedProducts.SetAccuracy(model, own, level));

    /// <summary>The graph in fewer, larger operators, which compute a decoder's steps faster; null when it is of another kind.</summary>
    internal DecoderRewrite? Rewrite(ModelConfig config) => DecoderRewrite.Of(model, config);

    /// <summary>The same file as it is, without attention, for a runtime that refuses the edited one.</summary>
    public OnnxGraph WithoutAttention(string reason) =>
        new(model, config, Summary with { Attention = [], AttentionParts = [], HeadMasks = [], AttentionUnavailable = reason }, new GraphEdit(model));

    /// <summary>The model to make a session of: the file's bytes with the edit. External data stays where it is, relative to <see cref="FolderFiles.WeightsRoot"/> of the file's folder.</summary>
    /// <exception cref="ModelLoadException">The file cannot be read any more, or is too large to be edited (2 GB).</exception>
    public byte[] ReadModel() => Bytes(edit);

    /// <summary>The same with <see cref="GraphSummary.AttentionParts"/> as outputs too; null where there are none.</summary>
    /// <exception cref="ModelLoadException">As of <see cref="ReadModel"/>.</exception>
    public byte[]? ReadModelWithParts() => Summary.AttentionParts.Count == 0 ? null : Edited(own => AttentionOutputs.Add(model, new GraphIndex(model.Graph), config, own, out _, []));

    /// <summary>The file with <see cref="HeadMask.Input"/>, and its outputs as <see cref="HeadMask.Output"/> names them; null where heads cannot be masked.</summary>
    /// <exception cref="ModelLoadException">As of <see cref="ReadModel"/>.</exception>
    public byte[]? ReadModelWithHeadMask() => Summary.HeadMasks.Count == 0 ? null : Edited(own => HeadMasks.Add(model, new GraphIndex(model.Graph), config, own));

    private byte[] Edited(Action<GraphEdit> change)
    {
        var own = new GraphEdit(model);
        change(own);
        ExternalData.Relocate(model, own);
        return Bytes(own);
    }

    private byte[] Bytes(GraphEdit edit)
    {
        try
        {
            return edit.IsEmpty ? File.ReadAllBytes(Summary.File) : edit.Apply();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or OutOfMemoryException or OverflowException)
        {
            throw new ModelLoadException($"{Path.GetFileName(Summary.File)} cannot be read: {e.Message}", e);
        }
    }
}
