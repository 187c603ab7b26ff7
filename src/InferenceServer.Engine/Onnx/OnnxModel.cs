using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Onnx;

/// <summary>A constant tensor (TensorProto) without its data: where the bytes lie, and the numbers of small integer ones.</summary>
internal sealed class OnnxTensor
{
    public string Name = "";
    public int DataType;
    public readonly List<long> Dims = [];
    public readonly List<long> Integers = [];
    public long RawStart;
    public long RawLength;
    public bool IsExternal;
    public string? Location;

    /// <summary>Number of elements, saturating.</summary>
    public double Elements => Dims.Aggregate(1.0, (product, dim) => product * Math.Max(0, dim));
}

/// <summary>An attribute of a node; only the kinds that are looked at.</summary>
internal sealed class OnnxAttribute
{
    public string Name = "";
    public long Integer;
    public float Float;
    public bool HasFloat;
    public readonly List<long> Integers = [];
    public string? Text;
    public OnnxTensor? Tensor;
    public readonly List<GraphData> Graphs = [];
}

/// <summary>A node (NodeProto) and the bytes of the file where it stands.</summary>
internal sealed class OnnxNode
{
    public string Name = "";
    public string OpType = "";
    public string Domain = "";
    public readonly List<string> Inputs = [];
    public readonly List<string> Outputs = [];
    public readonly List<OnnxAttribute> Attributes = [];
    public long Start;
    public long ContentStart;
    public long End;

    public bool IsStandard => Domain is "" or "ai.onnx";

    public string Operator => IsStandard ? $"ai.onnx {OpType}" : $"{Domain} {OpType}";

    public string Input(int index) => index < Inputs.Count ? Inputs[index] : "";

    public string Output(int index) => index < Outputs.Count ? Outputs[index] : "";

    public OnnxAttribute? Attribute(string name) => Attributes.Find(a => a.Name == name);
}

/// <summary>A graph (GraphProto) without its weights.</summary>
internal sealed class GraphData
{
    public readonly List<OnnxNode> Nodes = [];
    public readonly Dictionary<string, OnnxTensor> Initializers = new(StringComparer.Ordinal);
    public readonly List<GraphTensor> Inputs = [];
    public readonly List<GraphTensor> Outputs = [];
    public readonly Dictionary<string, GraphTensor> Values = new(StringComparer.Ordinal);
}

/// <summary>A model file (ModelProto) without its weights: nodes, shapes, attributes, small integer constants.</summary>
/// <remarks>Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto</remarks>
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
                case 2:
                    Producer = reader.Text(field);
                    break;
                case 3:
                    Producer = $"{Producer} {reader.Text(field)}".Trim();
                    break;
                case 7:
                    GraphRanges.Add(field);
                    ReadGraph(field, Graph, 0);
                    break;
                case 8:
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
                case 1:
                    domain = reader.Text(field);
                    break;
                case 2:
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
                case 1:
                    graph.Nodes.Add(ReadNode(field, depth));
                    break;
                case 5:
                    var tensor = ReadTensor(field);
                    graph.Initializers[tensor.Name] = tensor;
                    Weigh(tensor);
                    break;
                case 11:
                    graph.Inputs.Add(ReadValue(field));
                    break;
                case 12:
                    graph.Outputs.Add(ReadValue(field));
                    break;
                case 13:
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
                case 1:
                    node.Inputs.Add(reader.Text(field));
                    break;
                case 2:
                    node.Outputs.Add(reader.Text(field));
                    break;
                case 3:
                    node.Name = reader.Text(field);
                    break;
                case 4:
                    node.OpType = reader.Text(field);
                    break;
                case 5:
                    node.Attributes.Add(ReadAttribute(field, depth));
                    break;
                case 7:
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
                case 1:
                    attribute.Name = reader.Text(field);
                    break;
                case 2:
                    attribute.Float = BitConverter.UInt32BitsToSingle((uint)field.Value);
                    attribute.HasFloat = true;
                    break;
                case 3:
                    attribute.Integer = unchecked((long)field.Value);
                    break;
                case 4 when field.Length <= 1024:
                    attribute.Text = reader.Text(field);
                    break;
                case 5:
                    attribute.Tensor = ReadTensor(field);
                    break;
                case 6 or 11:
                    var graph = new GraphData();
                    ReadGraph(field, graph, depth + 1);
                    attribute.Graphs.Add(graph);
                    break;
                case 8:
                    reader.AddIntegers(field, attribute.Integers, MostIntegers);
                    break;
            }
        }

        return attribute;
    }

    private OnnxTensor ReadTensor(WireField message)
    {
        Count();
        var tensor = new OnnxTensor();
        foreach (var field in reader.Fields(message))
        {
            switch (field.Number)
            {
                case 1:
                    reader.AddIntegers(field, tensor.Dims, MostIntegers);
                    break;
                case 2:
                    tensor.DataType = unchecked((int)field.Value);
                    break;
                case 5 or 7:
                    reader.AddIntegers(field, tensor.Integers, MostIntegers);
                    break;
                case 8:
                    tensor.Name = reader.Text(field);
                    break;
                case 9 when field.IsBytes:
                    tensor.RawStart = field.Start;
                    tensor.RawLength = field.Length;
                    break;
                case 13:
                    ReadExternal(field, tensor);
                    break;
                case 14:
                    tensor.IsExternal = field.Value == 1;
                    break;
            }
        }

        if (tensor.DataType is 6 or 7 && tensor.Integers.Count == 0 && tensor.RawLength is > 0 and <= MostIntegers * 8)
        {
            var size = tensor.DataType == 7 ? 8 : 4;
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
                case 1:
                    key = reader.Text(field);
                    break;
                case 2:
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
            if (field.Number == 1)
            {
                name = reader.Text(field);
            }
            else if (field.Number == 2)
            {
                foreach (var kind in reader.Fields(field).Where(f => f.Number == 1))
                {
                    foreach (var part in reader.Fields(kind))
                    {
                        if (part.Number == 1)
                        {
                            type = TypeOf(unchecked((int)part.Value));
                        }
                        else if (part.Number == 2)
                        {
                            shape = [.. reader.Fields(part).Where(f => f.Number == 1).Take(MostIntegers).Select(Dimension)];
                        }
                    }
                }
            }
        }

        return new GraphTensor(name, type, shape);
    }

    private string Dimension(WireField message)
    {
        var text = "?";
        foreach (var field in reader.Fields(message))
        {
            text = field.Number switch
            {
                1 => unchecked((long)field.Value).ToString(System.Globalization.CultureInfo.InvariantCulture),
                2 => reader.Text(field) is { Length: > 0 } name ? name : "?",
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
            1 => ("float32", 32),
            2 or 3 => ("int8", 8),
            10 => ("float16", 16),
            11 => ("float64", 64),
            16 => ("bfloat16", 16),
            17 or 18 or 19 or 20 => ("float8", 8),
            21 or 22 => ("int4", 4),
            _ => ("", 0),
        };
        if (bits > 0)
        {
            WeightBits[name] = WeightBits.GetValueOrDefault(name) + (tensor.Elements * bits);
        }
    }

    internal static ElementType TypeOf(int type) => type switch
    {
        1 => ElementType.Float,
        2 => ElementType.UInt8,
        3 => ElementType.Int8,
        6 => ElementType.Int32,
        7 => ElementType.Int64,
        9 => ElementType.Bool,
        10 => ElementType.Float16,
        11 => ElementType.Double,
        16 => ElementType.BFloat16,
        _ => ElementType.Unknown,
    };
}
