using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx.Proto;
using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;

namespace InferenceServer.Engine.Onnx;

/// <summary>A model file (ModelProto) without its weights: nodes, shapes, attributes, small integer constants.</summary>
/// <remarks>Field numbers are those of onnx.proto beside this file.</remarks>
internal sealed class OnnxModel
{
    private const int MostElements = 2_000_000;
    private const int DeepestGraph = 8;
    private const int MostIntegers = 64;
    private readonly WireReader reader;
    private int elements;

    private OnnxModel(string path, WireReader reader)
    {
        this.reader = reader;
        FilePath = path;
    }

    public string FilePath { get; }

    public GraphData Graph { get; } = new();

    public Dictionary<string, long> Opsets { get; } = new(StringComparer.Ordinal);

    public string Producer { get; private set; } = "";

    /// <summary>The ranges of the file that hold the graph's fields, for an edit that replaces nodes.</summary>
    public List<WireField> GraphRanges { get; } = [];

    /// <summary>Files of external data, as the tensors name them.</summary>
    public SortedSet<string> ExternalFiles { get; } = new(StringComparer.Ordinal);

    /// <summary>Bits that the weights take, by type name.</summary>
    public Dictionary<string, double> WeightBits { get; } = new(StringComparer.Ordinal);

    /// <summary>Reads the file.</summary>
    /// <exception cref="ModelLoadException">The file cannot be read, is cut short, or is no ONNX file.</exception>
    public static OnnxModel Read(string path)
    {
        var name = Path.GetFileName(path);
        try
        {
            using var reader = new WireReader(path);
            var model = new OnnxModel(path, reader);
            model.ReadModel();
            return model;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelLoadException($"{name} cannot be read: {e.Message}", e);
        }
        catch (Exception e) when (e is OverflowException or OutOfMemoryException)
        {
            throw new ModelLoadException($"{name} is damaged: a length in it is larger than anything it can hold. Download or export it again.", e);
        }
    }

    /// <summary>The bytes of a constant that lies in the file itself; null when it is larger than <paramref name="limit"/> or lies elsewhere.</summary>
    public static byte[]? RawBytes(string path, OnnxTensor tensor, int limit)
    {
        if (tensor.RawLength == 0 || tensor.RawLength > limit)
        {
            return null;
        }

        using var reader = new WireReader(path);
        return reader.Bytes(tensor.RawStart, (int)tensor.RawLength);
    }

    private void ReadModel()
    {
        var name = Path.GetFileName(FilePath);
        if (reader.Length == 0)
        {
            throw new ModelLoadException($"{name} is empty. Download or export it again.");
        }

        if (reader.Length < 1024 && System.Text.Encoding.ASCII.GetString(reader.Bytes(0, (int)Math.Min(reader.Length, 40))).StartsWith("version https://git-lfs", StringComparison.Ordinal))
        {
            throw new ModelLoadException($"{name} is a Git LFS pointer, not the model itself. Run `git lfs pull` in the repository, or download the file.");
        }

        foreach (var field in reader.Fields(0, reader.Length))
        {
            switch (field.Number)
            {
                case ModelProto.ProducerNameFieldNumber:
                    Producer = reader.Text(field);
                    break;
                case ModelProto.ProducerVersionFieldNumber:
                    Producer = $"{Producer} {reader.Text(field)}".Trim();
                    break;
                case ModelProto.GraphFieldNumber:
                    GraphRanges.Add(field);
                    ReadGraph(field, Graph, 0);
                    break;
                case ModelProto.OpsetImportFieldNumber:
                    ReadOpset(field);
                    break;
            }
        }

        if (GraphRanges.Count == 0)
        {
            throw new ModelLoadException($"{name} holds no graph: it is not an ONNX model. Download or export it again.");
        }
    }

    private void ReadOpset(WireField message)
    {
        var domain = "";
        long version = 0;
        foreach (var field in reader.Fields(message))
        {
            switch (field.Number)
            {
                case OperatorSetIdProto.DomainFieldNumber:
                    domain = reader.Text(field);
                    break;
                case OperatorSetIdProto.VersionFieldNumber:
                    version = unchecked((long)field.Value);
                    break;
            }
        }

        Opsets[domain == "ai.onnx" ? "" : domain] = version;
    }

    private void ReadGraph(WireField message, GraphData graph, int depth)
    {
        if (depth > DeepestGraph)
        {
            throw new ModelLoadException($"{Path.GetFileName(FilePath)} nests graphs more than {DeepestGraph} deep, which no exporter does. Export it again.");
        }

        foreach (var field in reader.Fields(message))
        {
            switch (field.Number)
            {
                case GraphProto.NodeFieldNumber:
                    graph.Nodes.Add(ReadNode(field, depth));
                    break;
                case GraphProto.InitializerFieldNumber:
                    var tensor = ReadTensor(field);
                    graph.Initializers[tensor.Name] = tensor;
                    Weigh(tensor);
                    break;
                case GraphProto.InputFieldNumber:
                    graph.Inputs.Add(ReadValue(field));
                    break;
                case GraphProto.OutputFieldNumber:
                    graph.Outputs.Add(ReadValue(field));
                    break;
                case GraphProto.ValueInfoFieldNumber:
                    var value = ReadValue(field);
                    graph.Values[value.Name] = value;
                    break;
            }
        }
    }

    private OnnxNode ReadNode(WireField message, int depth)
    {
        Count();
        var node = new OnnxNode { Start = message.TagStart, ContentStart = message.Start, End = message.End };
        foreach (var field in reader.Fields(message))
        {
            switch (field.Number)
            {
                case NodeProto.InputFieldNumber:
                    node.Inputs.Add(reader.Text(field));
                    break;
                case NodeProto.OutputFieldNumber:
                    node.Outputs.Add(reader.Text(field));
                    break;
                case NodeProto.NameFieldNumber:
                    node.Name = reader.Text(field);
                    break;
                case NodeProto.OpTypeFieldNumber:
                    node.OpType = reader.Text(field);
                    break;
                case NodeProto.AttributeFieldNumber:
                    node.Attributes.Add(ReadAttribute(field, depth));
                    break;
                case NodeProto.DomainFieldNumber:
                    node.Domain = reader.Text(field);
                    break;
            }
        }

        if (node.OpType == "Constant" && node.Attribute("value")?.Tensor is { } constant)
        {
            Weigh(constant);
        }

        return node;
    }

    private OnnxAttribute ReadAttribute(WireField message, int depth)
    {
        Count();
        var attribute = new OnnxAttribute();
        foreach (var field in reader.Fields(message))
        {
            switch (field.Number)
            {
                case AttributeProto.NameFieldNumber:
                    attribute.Name = reader.Text(field);
                    break;
                case AttributeProto.FFieldNumber:
                    attribute.Float = BitConverter.UInt32BitsToSingle((uint)field.Value);
                    attribute.HasFloat = true;
                    break;
                case AttributeProto.IFieldNumber:
                    attribute.Integer = unchecked((long)field.Value);
                    break;
                case AttributeProto.SFieldNumber when field.Length <= 1024:
                    attribute.Text = reader.Text(field);
                    break;
                case AttributeProto.TFieldNumber:
                    attribute.Tensor = ReadTensor(field);
                    break;
                case AttributeProto.GFieldNumber or AttributeProto.GraphsFieldNumber:
                    var graph = new GraphData();
                    ReadGraph(field, graph, depth + 1);
                    attribute.Graphs.Add(graph);
                    break;
                case AttributeProto.IntsFieldNumber:
                    reader.AddIntegers(field, attribute.Integers, MostIntegers);
                    break;
            }
        }

        return attribute;
    }

    private OnnxTensor ReadTensor(WireField message)
    {
        Count();
        var tensor = new OnnxTensor { Field = (message.TagStart, message.Start, message.End) };
        foreach (var field in reader.Fields(message))
        {
            switch (field.Number)
            {
                case TensorProto.DimsFieldNumber:
                    reader.AddIntegers(field, tensor.Dims, MostIntegers);
                    break;
                case TensorProto.DataTypeFieldNumber:
                    tensor.DataType = (DataType)unchecked((int)field.Value);
                    break;
                case TensorProto.Int32DataFieldNumber or TensorProto.Int64DataFieldNumber:
                    reader.AddIntegers(field, tensor.Integers, MostIntegers);
                    break;
                case TensorProto.NameFieldNumber:
                    tensor.Name = reader.Text(field);
                    break;
                case TensorProto.RawDataFieldNumber when field.IsBytes:
                    tensor.RawStart = field.Start;
                    tensor.RawLength = field.Length;
                    break;
                case TensorProto.ExternalDataFieldNumber:
                    ReadExternal(field, tensor);
                    break;
                case TensorProto.DataLocationFieldNumber:
                    tensor.IsExternal = field.Value == (ulong)TensorProto.Types.DataLocation.External;
                    break;
            }
        }

        if (tensor.DataType is DataType.Int32 or DataType.Int64 && tensor.Integers.Count == 0 && tensor.RawLength is > 0 and <= MostIntegers * 8)
        {
            var size = tensor.DataType == DataType.Int64 ? 8 : 4;
            var bytes = reader.Bytes(tensor.RawStart, (int)tensor.RawLength);
            for (var at = 0; at + size <= bytes.Length; at += size)
            {
                tensor.Integers.Add(size == 8 ? BitConverter.ToInt64(bytes, at) : BitConverter.ToInt32(bytes, at));
            }
        }

        if (tensor.IsExternal && tensor.Location is { } location)
        {
            ExternalFiles.Add(location);
        }

        return tensor;
    }

    private void ReadExternal(WireField message, OnnxTensor tensor)
    {
        string key = "", value = "";
        foreach (var field in reader.Fields(message))
        {
            switch (field.Number)
            {
                case StringStringEntryProto.KeyFieldNumber:
                    key = reader.Text(field);
                    break;
                case StringStringEntryProto.ValueFieldNumber:
                    value = reader.Text(field);
                    break;
            }
        }

        if (key == "location")
        {
            tensor.Location = value;
        }
    }

    private GraphTensor ReadValue(WireField message)
    {
        Count();
        var name = "";
        var type = ElementType.Unknown;
        List<string>? shape = null;
        foreach (var field in reader.Fields(message))
        {
            switch (field.Number)
            {
                case ValueInfoProto.NameFieldNumber:
                    name = reader.Text(field);
                    break;
                case ValueInfoProto.TypeFieldNumber:
                    foreach (var part in reader.Fields(field).Where(f => f.Number == TypeProto.TensorTypeFieldNumber).SelectMany(reader.Fields))
                    {
                        ReadType(part, ref type, ref shape);
                    }

                    break;
            }
        }

        return new GraphTensor(name, type, shape);
    }

    private void ReadType(WireField field, ref ElementType type, ref List<string>? shape)
    {
        switch (field.Number)
        {
            case TypeProto.Types.Tensor.ElemTypeFieldNumber:
                type = TypeOf((DataType)unchecked((int)field.Value));
                break;
            case TypeProto.Types.Tensor.ShapeFieldNumber:
                shape = [.. reader.Fields(field).Where(f => f.Number == TensorShapeProto.DimFieldNumber).Take(MostIntegers).Select(Dimension)];
                break;
        }
    }

    private string Dimension(WireField message)
    {
        var text = "?";
        foreach (var field in reader.Fields(message))
        {
            text = field.Number switch
            {
                TensorShapeProto.Types.Dimension.DimValueFieldNumber => unchecked((long)field.Value).ToString(System.Globalization.CultureInfo.InvariantCulture),
                TensorShapeProto.Types.Dimension.DimParamFieldNumber => reader.Text(field) is { Length: > 0 } name ? name : "?",
                _ => text,
            };
        }

        return text;
    }

    private void Count()
    {
        if (++elements > MostElements)
        {
            throw new ModelLoadException($"{Path.GetFileName(FilePath)} has more than {MostElements} nodes, attributes and tensors, which no exporter writes. Export it again.");
        }
    }

    private void Weigh(OnnxTensor tensor)
    {
        var (name, bits) = tensor.DataType switch
        {
            DataType.Float => ("float32", 32),
            DataType.Uint8 or DataType.Int8 => ("int8", 8),
            DataType.Float16 => ("float16", 16),
            DataType.Double => ("float64", 64),
            DataType.Bfloat16 => ("bfloat16", 16),
            DataType.Float8E4M3Fn or DataType.Float8E4M3Fnuz or DataType.Float8E5M2 or DataType.Float8E5M2Fnuz => ("float8", 8),
            DataType.Uint4 or DataType.Int4 => ("int4", 4),
            _ => ("", 0),
        };
        if (bits > 0)
        {
            WeightBits[name] = WeightBits.GetValueOrDefault(name) + (tensor.Elements * bits);
        }
    }

    private static ElementType TypeOf(DataType type) => type switch
    {
        DataType.Float => ElementType.Float,
        DataType.Uint8 => ElementType.UInt8,
        DataType.Int8 => ElementType.Int8,
        DataType.Int32 => ElementType.Int32,
        DataType.Int64 => ElementType.Int64,
        DataType.Bool => ElementType.Bool,
        DataType.Float16 => ElementType.Float16,
        DataType.Double => ElementType.Double,
        DataType.Bfloat16 => ElementType.BFloat16,
        _ => ElementType.Unknown,
    };
}
