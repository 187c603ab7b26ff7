using InferenceServer.Engine.Manifest;
using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;

namespace InferenceServer.Engine.Onnx;

/// <summary>A constant tensor (TensorProto) without its data: where the bytes lie, and the numbers of small integer ones.</summary>
internal sealed class OnnxTensor
{
    public string Name = "";
    public DataType DataType;
    public readonly List<long> Dims = [];
    public readonly List<long> Integers = [];
    public long RawStart;
    public long RawLength;
    public bool IsExternal;
    public string? Location;

    /// <summary>Where its field lies in the file: from its tag, from its content, to its end.</summary>
    public (long Start, long ContentStart, long End) Field;

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
