namespace InferenceServer.Engine.Manifest;

/// <summary>Element types that graphs use; names as ONNX has them.</summary>
public enum ElementType
{
    /// <summary>Unknown or not a tensor.</summary>
    Unknown,

    /// <summary>32-bit float.</summary>
    Float,

    /// <summary>16-bit float.</summary>
    Float16,

    /// <summary>bfloat16.</summary>
    BFloat16,

    /// <summary>64-bit float.</summary>
    Double,

    /// <summary>8-bit signed.</summary>
    Int8,

    /// <summary>8-bit unsigned.</summary>
    UInt8,

    /// <summary>32-bit signed.</summary>
    Int32,

    /// <summary>64-bit signed.</summary>
    Int64,

    /// <summary>Boolean.</summary>
    Bool,
}

/// <summary>An input or output of a graph. <paramref name="Shape"/>: a number, a name (<c>batch_size</c>) or <c>?</c> for each dimension; null when the graph does not say.</summary>
public sealed record GraphTensor(string Name, ElementType Type, IReadOnlyList<string>? Shape)
{
    /// <summary>The fixed size of dimension <paramref name="axis"/>, or null when it is dynamic or unknown.</summary>
    public int? FixedSize(int axis) => Shape is { } shape && axis < shape.Count && int.TryParse(shape[axis], out var size) ? size : null;
}

/// <summary>Whose attention a matrix is.</summary>
public enum AttentionKind
{
    /// <summary>Self attention of an encoder.</summary>
    Encoder,

    /// <summary>Self attention of a decoder (causal).</summary>
    Decoder,

    /// <summary>Attention of a decoder over the encoder's states.</summary>
    Cross,
}

/// <summary>
/// A tensor of the graph that holds attention probabilities <c>[batch, heads, query, key]</c>, exposed as an output.
/// </summary>
/// <param name="Layer">Layer, from 0, counted within its kind.</param>
/// <param name="Kind">Encoder, decoder or cross.</param>
/// <param name="Output">Name of the graph output to ask for.</param>
/// <param name="Tensor">Name of the tensor in the file (provenance; differs from <paramref name="Output"/> where a reshape was appended).</param>
public sealed record AttentionOutput(int Layer, AttentionKind Kind, string Output, string Tensor);

/// <summary>What leads to attention probabilities, or follows from them.</summary>
public enum AttentionPart
{
    /// <summary>Queries as they enter the product, before scaling: <c>[batch, heads, query, d]</c>.</summary>
    Q,

    /// <summary>Keys as they enter the product, before scaling: <c>[batch, heads, key, d]</c>.</summary>
    K,

    /// <summary>Values: <c>[batch, heads, key, d]</c>.</summary>
    V,

    /// <summary>Scaled products of queries and keys, before the mask and any bias: <c>[batch, heads, query, key]</c>.</summary>
    Scores,

    /// <summary>Sums of the values, weighted by the probabilities: <c>[batch, heads, query, d]</c>.</summary>
    Context,
}

/// <summary>A tensor that leads to attention probabilities, exposed as an output.</summary>
/// <param name="Part">What it is.</param>
/// <param name="Layer">Layer, as in <see cref="AttentionOutput"/>.</param>
/// <param name="Kind">Whose attention.</param>
/// <param name="Output">Name of the graph output to ask for.</param>
public sealed record AttentionPartOutput(AttentionPart Part, int Layer, AttentionKind Kind, string Output);

/// <summary>The heads of a layer in a mask of heads.</summary>
/// <param name="Layer">Layer, as in <see cref="AttentionOutput"/>.</param>
/// <param name="Kind">Whose attention.</param>
/// <param name="Heads">How many heads it has.</param>
/// <param name="Offset">Where they begin in the input <see cref="Input"/>.</param>
public sealed record HeadMask(int Layer, AttentionKind Kind, int Heads, int Offset)
{
    /// <summary>The input <c>[batch, heads of all layers]</c> that each head's context is multiplied with, float32.</summary>
    public const string Input = "head_mask";

    /// <summary>Heads of all layers.</summary>
    public static int Width(IReadOnlyList<HeadMask> all) => all.Count == 0 ? 0 : all[^1].Offset + all[^1].Heads;

    /// <summary>The name of an output of the graph whose heads can be masked.</summary>
    public static string Output(string name) => $"{name}/of_masked_heads";
}

/// <summary>What a graph says of itself, without its weights.</summary>
public sealed record GraphSummary
{
    /// <summary>Path of the file.</summary>
    public required string File { get; init; }

    /// <summary>Inputs that are fed (initializers excluded), in the graph's order.</summary>
    public required IReadOnlyList<GraphTensor> Inputs { get; init; }

    /// <summary>The graph's own outputs.</summary>
    public required IReadOnlyList<GraphTensor> Outputs { get; init; }

    /// <summary>Attention probabilities that can be read, by layer.</summary>
    public required IReadOnlyList<AttentionOutput> Attention { get; init; }

    /// <summary>What leads to those probabilities, as far as the graph shows it.</summary>
    public IReadOnlyList<AttentionPartOutput> AttentionParts { get; init; } = [];

    /// <summary>The layers whose heads can be masked; empty where not all of them can.</summary>
    public IReadOnlyList<HeadMask> HeadMasks { get; init; } = [];

    /// <summary>Why <see cref="Attention"/> is empty, naming the operator and the remedy; null when it is not.</summary>
    public string? AttentionUnavailable { get; init; }

    /// <summary>Version of the default operator set.</summary>
    public int Opset { get; init; }

    /// <summary>Program that made the file.</summary>
    public string Producer { get; init; } = "";

    /// <summary>True when activations are quantised with one scale a tensor, so that a row's result depends on its batch mates (DynamicQuantizeLinear).</summary>
    public bool QuantizesActivations { get; init; }

    /// <summary>
    /// True when products with packed weights quantise activations to int8 with one scale a block of a row (<c>accuracy_level</c> 4 of MatMulNBits): a row does not see
    /// its batch mates, but what one shape of run rounds otherwise than another can move a whole step of a scale.
    /// </summary>
    public bool QuantizesBlocks { get; init; }

    /// <summary>True when the keys and values of earlier tokens are inputs of grouped-query attention alone, which can write new ones into the same tensors.</summary>
    public bool WritesCache { get; init; }

    /// <summary>Element type of most weights, in bytes: <c>float32</c>, <c>float16</c>, <c>int8</c>, <c>int4</c>.</summary>
    public string WeightType { get; init; } = "float32";

    /// <summary>
    /// Most tokens for which the graph has position vectors: rows of the table that positions are looked up in, without those before the first position
    /// (RoBERTa's and BART's tables begin two rows later). Null when positions are not looked up.
    /// </summary>
    public int? PositionRows { get; init; }

    /// <summary>Token ids that the graph has vectors for, from 0: rows of the table that ids are looked up in. Null when ids are not looked up.</summary>
    public int? TokenRows { get; init; }

    /// <summary>Files of external data that the graph names, relative to its folder.</summary>
    public IReadOnlyList<string> ExternalData { get; init; } = [];

    /// <summary>The output of that name, or null.</summary>
    public GraphTensor? Output(string name) => Outputs.FirstOrDefault(o => o.Name == name);
}
