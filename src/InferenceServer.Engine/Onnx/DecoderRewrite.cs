using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Google.Protobuf;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx.Proto;
using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;

namespace InferenceServer.Engine.Onnx;

/// <summary>
/// The graph of a decoder in fewer, larger operators, as ONNX Runtime's own model builder writes this architecture: every layer's attention with its cache and its
/// rotary positions is one <c>com.microsoft GroupQueryAttention</c> (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md), which also writes new
/// keys and values into the buffer of the old ones; logits are computed for as many of the last positions as <c>num_logits_to_keep</c> says. Inputs, outputs and weights
/// are otherwise the file's. What the pattern does not show (a scale, a window, a softcap) it does not know: who opens it compares its logits with the file's.
/// </summary>
internal sealed class DecoderRewrite
{
    /// <summary>Names what was made by these rules; another number where they change.</summary>
    public const string Version = "grouped-query-1";

    private const string Prefix = "grouped_query/";
    private const string LogitsToKeep = "num_logits_to_keep";
    private const string Microsoft = "com.microsoft";
    private const int LargeTensor = 1 << 16;
    private const int MostTableNodes = 400;
    private const int MostPositions = 1 << 18; // tables of tens of megabytes
    private readonly OnnxModel model;
    private readonly GraphIndex index;
    private readonly ModelConfig config;
    private readonly IReadOnlyList<CachedAttention> layers;
    private readonly GraphTensor mask;

    private DecoderRewrite(OnnxModel model, GraphIndex index, ModelConfig config, IReadOnlyList<CachedAttention> layers, GraphTensor mask)
    {
        this.model = model;
        this.index = index;
        this.config = config;
        this.layers = layers;
        this.mask = mask;
        Tables = [.. layers.Select(layer => layer.Rotation).OfType<Rotation>().SelectMany(rotation => new[] { rotation.Cos, rotation.Sin }).Distinct()];
    }

    /// <summary>Tensors of <see cref="TableModel"/>: cosines and sines of every position <c>[.., position, head]</c>.</summary>
    public IReadOnlyList<string> Tables { get; }

    /// <summary>Positions that tables are needed for.</summary>
    public int Positions => config.MaxPositions ?? 0;

    /// <summary>What can be made of a file; null when its graph is of another kind.</summary>
    public static DecoderRewrite? Of(OnnxModel model, ModelConfig config)
    {
        if (!model.Graph.Inputs.Exists(input => input.Name.StartsWith("past", StringComparison.Ordinal)))
        {
            return null;
        }

        var index = new GraphIndex(model.Graph);
        var mask = index.FedInputs.FirstOrDefault(input => input.Name is "attention_mask" or "input_mask");
        if (mask is not { Type: ElementType.Int64 or ElementType.Int32 }
            || config is not { Heads: > 0, MaxPositions: > 0 and <= MostPositions }
            || HasWindow(config.Root)
            || model.Opsets.GetValueOrDefault("") < 13
            || model.Graph.Nodes.Exists(node => node.Attributes.Exists(attribute => attribute.Graphs.Count > 0))
            || CachedAttention.Find(index, model.Opsets.GetValueOrDefault("")) is not { } layers
            || layers.Any(layer => layer.PastKey is not { Type: ElementType.Float } || layer.PastKey.FixedSize(1) is not > 0 || layer.PastKey.FixedSize(3) is not > 0))
        {
            return null;
        }

        var rewrite = new DecoderRewrite(model, index, config, layers, mask);
        return rewrite.Tables.Count == 0 || rewrite.TableNodes().Count <= MostTableNodes ? rewrite : null;
    }

    /// <summary>The nodes of the graph that make <see cref="Tables"/> of the positions, as a model of their own; large weights are read from the file where they lie.</summary>
    /// <param name="weightsRoot">The folder that paths of weights start from.</param>
    public byte[] TableModel(string weightsRoot)
    {
        var graph = new GraphProto { Name = "tables" };
        var edit = new GraphEdit(model);
        var nodes = TableNodes();
        foreach (var node in model.Graph.Nodes.Where(nodes.Contains))
        {
            graph.Node.Add(edit.Rewrite(node, node.Outputs));
        }

        using var reader = new WireReader(model.FilePath);
        foreach (var name in nodes.SelectMany(node => node.Inputs).Where(input => input.Length > 0).Distinct())
        {
            if (index.Graph.Initializers.TryGetValue(name, out var weight))
            {
                graph.Initializer.Add(Weight(reader, weight, weightsRoot));
            }
            else if (index.FedInputs.FirstOrDefault(input => input.Name == name) is { } fed)
            {
                graph.Input.Add(Declared(fed));
            }
        }

        graph.Output.Add(Tables.Select(name => new ValueInfoProto { Name = name }));
        return new ModelProto { IrVersion = 8, Graph = graph, OpsetImport = { model.Opsets.Select(opset => new OperatorSetIdProto { Domain = opset.Key, Version = opset.Value }) } }.ToByteArray();
    }

    /// <summary>The rewritten model.</summary>
    /// <param name="tables">The first half of each of <see cref="Tables"/>: <c>[position, head / 2]</c>.</param>
    /// <param name="accuracyLevel">What the products with packed weights are computed at (<c>accuracy_level</c> of MatMulNBits); null: as the file says.</param>
    public byte[] Apply(IReadOnlyDictionary<string, float[]> tables, int? accuracyLevel)
    {
        var edit = new GraphEdit(model);
        edit.AddOpset(Microsoft, 1);
        AddLengths(edit);
        foreach (var (name, values) in tables)
        {
            edit.AddInitializer(new TensorProto
            {
                Name = TableOf(name),
                DataType = DataType.Float,
                Dims = { Positions, values.Length / Positions },
                RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes(values.AsSpan())),
            });
        }

        foreach (var layer in layers)
        {
            edit.Replace(layer.Result, Attention(layer, edit));
        }

        var logits = index.Graph.Outputs.Count > 0 && !index.FedInputs.Any(input => input.Name.EndsWith("logits_to_keep", StringComparison.Ordinal)) ? LogitsNode() : null;
        var live = Live();
        var made = layers.SelectMany(layer => new[] { layer.Result, layer.PresentKey, layer.PresentValue }).ToHashSet();
        foreach (var node in model.Graph.Nodes.Where(node => node == logits || made.Contains(node) || !live.Contains(node) || (accuracyLevel is not null && PackedProducts.Is(node))))
        {
            if (layers.Any(layer => layer.Result == node))
            {
                continue;
            }

            if (made.Contains(node) || !live.Contains(node))
            {
                edit.Replace(node);
                continue;
            }

            var changed = edit.Rewrite(node, node.Outputs, accuracyLevel is { } level && PackedProducts.Is(node) ? [PackedProducts.Accuracy(level)] : []);
            if (node == logits)
            {
                edit.AddInput(new ValueInfoProto { Name = LogitsToKeep, Type = TypeOf(DataType.Int64, [new TensorShapeProto.Types.Dimension { DimValue = 1 }]) });
                edit.AddInitializer(TensorProto.Of(Prefix + "end", long.MaxValue));
                edit.AddInitializer(TensorProto.Of(Prefix + "sequence", 1));
                edit.AddNode(new NodeProto { OpType = "Neg", Input = { LogitsToKeep }, Output = { Prefix + "begin" } });
                edit.AddNode(new NodeProto { OpType = "Slice", Input = { node.Input(0), Prefix + "begin", Prefix + "end", Prefix + "sequence" }, Output = { Prefix + "last" } });
                changed.Input[0] = Prefix + "last";
            }

            edit.Replace(node, changed);
        }

        return edit.Apply();
    }

    private static string TableOf(string tensor) => $"{Prefix}table/{tensor}";

    private static TypeProto TypeOf(DataType type, IEnumerable<TensorShapeProto.Types.Dimension> shape) => new() { TensorType = new TypeProto.Types.Tensor { ElemType = type, Shape = new TensorShapeProto { Dim = { shape } } } };

    private static ValueInfoProto Declared(GraphTensor input) => new()
    {
        Name = input.Name,
        Type = TypeOf(
            input.Type switch { ElementType.Int32 => DataType.Int32, ElementType.Float => DataType.Float, ElementType.Bool => DataType.Bool, _ => DataType.Int64 },
            input.Shape!.Select((_, axis) => input.FixedSize(axis) is { } size ? new TensorShapeProto.Types.Dimension { DimValue = size } : new TensorShapeProto.Types.Dimension { DimParam = string.Create(CultureInfo.InvariantCulture, $"{input.Name}_{axis}") })),
    };

    // Layers that attend to the last tokens only.
    private static bool HasWindow(JsonElement config) =>
        config.ValueKind == JsonValueKind.Object
        && ((config.TryGetProperty("sliding_window", out var window) && window.ValueKind == JsonValueKind.Number && !(config.TryGetProperty("use_sliding_window", out var used) && used.ValueKind == JsonValueKind.False))
            || (config.TryGetProperty("layer_types", out var types) && types.ValueKind == JsonValueKind.Array && types.EnumerateArray().Any(type => type.ValueKind != JsonValueKind.String || type.GetString() != "full_attention")));

    // Length of each row less one, and of the longest: what the operator is told instead of a mask.
    private void AddLengths(GraphEdit edit)
    {
        edit.AddInitializer(TensorProto.Of(Prefix + "one", 1));
        edit.AddInitializer(new TensorProto { Name = Prefix + "axis", DataType = DataType.Int64, Int64Data = { 1 } }); // a scalar
        edit.AddNode(new NodeProto { OpType = "Cast", Input = { mask.Name }, Output = { Prefix + "mask" }, Attribute = { AttributeProto.Of("to", (long)DataType.Int64) } });
        edit.AddNode(new NodeProto { OpType = "ReduceSum", Input = { Prefix + "mask", Prefix + "one" }, Output = { Prefix + "tokens" }, Attribute = { AttributeProto.Of("keepdims", 0) } });
        edit.AddNode(new NodeProto { OpType = "Sub", Input = { Prefix + "tokens", Prefix + "one" }, Output = { Prefix + "less_one" } });
        edit.AddNode(new NodeProto { OpType = "Cast", Input = { Prefix + "less_one" }, Output = { Prefix + "seqlens_k" }, Attribute = { AttributeProto.Of("to", (long)DataType.Int32) } });
        edit.AddNode(new NodeProto { OpType = "Shape", Input = { mask.Name }, Output = { Prefix + "shape" } });
        edit.AddNode(new NodeProto { OpType = "Gather", Input = { Prefix + "shape", Prefix + "axis" }, Output = { Prefix + "longest" }, Attribute = { AttributeProto.Of("axis", 0) } });
        edit.AddNode(new NodeProto { OpType = "Cast", Input = { Prefix + "longest" }, Output = { Prefix + "total_sequence_length" }, Attribute = { AttributeProto.Of("to", (long)DataType.Int32) } });
    }

    private NodeProto Attention(CachedAttention layer, GraphEdit edit)
    {
        string Flat(Projection projection, int heads)
        {
            if (!projection.HasHeads)
            {
                return projection.Tensor;
            }

            var name = Prefix + projection.Tensor;
            edit.AddInitializer(TensorProto.Of(name + "/shape", 0, 0, (long)heads * layer.PastKey.FixedSize(3)!.Value));
            edit.AddNode(new NodeProto { OpType = "Reshape", Input = { projection.Tensor, name + "/shape" }, Output = { name } });
            return name;
        }

        var (heads, own) = (config.Heads!.Value, layer.PastKey.FixedSize(1)!.Value);
        var node = new NodeProto
        {
            OpType = "GroupQueryAttention",
            Domain = Microsoft,
            Input =
            {
                Flat(layer.Query, heads), Flat(layer.Key, own), Flat(layer.Value, own), layer.PastKey.Name, layer.PastValue.Name, Prefix + "seqlens_k", Prefix + "total_sequence_length",
            },
            Output = { layer.Result.Output(0), layer.PresentKey.Output(0), layer.PresentValue.Output(0) },
            Attribute = { AttributeProto.Of("num_heads", heads), AttributeProto.Of("kv_num_heads", own) },
        };
        if (layer.Rotation is { } rotation)
        {
            node.Input.Add([TableOf(rotation.Cos), TableOf(rotation.Sin)]);
            node.Attribute.Add(AttributeProto.Of("do_rotary", 1));
        }

        return node;
    }

    // The product with the vocabulary, where it is the last node and takes [batch, sequence, hidden].
    private OnnxNode? LogitsNode() =>
        index.Graph.Outputs.FirstOrDefault(output => output.Name == "logits" && output.Shape is { Count: 3 }) is { } logits
        && index.Producer(logits.Name) is { OpType: "MatMul" or "MatMulNBits" } node && index.IsConstant(node.Input(1)) && index.Consumers(node.Output(0)).Count == 0 ? node : null;

    // Nodes that the outputs still need once attention is one operator.
    private HashSet<OnnxNode> Live()
    {
        var live = new HashSet<OnnxNode>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var pending = new Stack<string>(index.Graph.Outputs.Select(output => output.Name));
        var results = new Dictionary<string, CachedAttention>(StringComparer.Ordinal);
        foreach (var layer in layers)
        {
            results[layer.Result.Output(0)] = results[layer.PresentKey.Output(0)] = results[layer.PresentValue.Output(0)] = layer;
        }

        while (pending.TryPop(out var tensor))
        {
            if (tensor.Length == 0 || !seen.Add(tensor))
            {
                continue;
            }

            if (results.TryGetValue(tensor, out var layer))
            {
                live.UnionWith([layer.Result, layer.PresentKey, layer.PresentValue]);
                pending.Push(layer.Query.Tensor);
                pending.Push(layer.Key.Tensor);
                pending.Push(layer.Value.Tensor);
            }
            else if (index.Producer(tensor) is { } node && live.Add(node))
            {
                node.Inputs.ForEach(pending.Push);
            }
        }

        return live;
    }

    private HashSet<OnnxNode> TableNodes()
    {
        var nodes = new HashSet<OnnxNode>();
        var pending = new Stack<string>(Tables);
        while (pending.TryPop(out var tensor) && nodes.Count <= MostTableNodes)
        {
            if (index.Producer(tensor) is { } node && nodes.Add(node))
            {
                node.Inputs.ForEach(pending.Push);
            }
        }

        return nodes;
    }

    private TensorProto Weight(WireReader reader, OnnxTensor weight, string weightsRoot)
    {
        if (weight.RawLength <= LargeTensor || weight.IsExternal)
        {
            var copy = TensorProto.Parser.ParseFrom(reader.Bytes(weight.Field.ContentStart, checked((int)(weight.Field.End - weight.Field.ContentStart))));
            if (weight.IsExternal && FolderFiles.IsInside(Path.GetDirectoryName(Path.GetFullPath(model.FilePath))!, weight.Location!, out var full))
            {
                copy.ExternalData.First(entry => entry.Key == "location").Value = Relative(full);
            }

            return copy;
        }

        return new TensorProto
        {
            Name = weight.Name,
            DataType = weight.DataType,
            Dims = { weight.Dims },
            DataLocation = TensorProto.Types.DataLocation.External,
            ExternalData =
            {
                new StringStringEntryProto { Key = "location", Value = Relative(model.FilePath) },
                new StringStringEntryProto { Key = "offset", Value = weight.RawStart.ToString(CultureInfo.InvariantCulture) },
                new StringStringEntryProto { Key = "length", Value = weight.RawLength.ToString(CultureInfo.InvariantCulture) },
            },
        };

        string Relative(string path) => Path.GetRelativePath(weightsRoot, FolderFiles.Real(path)).Replace('\\', '/');
    }
}
