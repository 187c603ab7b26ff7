using Google.Protobuf;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx.Proto;
using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;
using Dimension = InferenceServer.Engine.Onnx.Proto.TensorShapeProto.Types.Dimension;

namespace InferenceServer.Engine.Tests.Execution;

/// <summary>Small ONNX files for input conventions and faults that no stored file has.</summary>
internal sealed class TinyGraph
{
    // Numbers, because an attribute of a theory can name no internal type.
    public const int Float = (int)DataType.Float, Int32 = (int)DataType.Int32, Int64 = (int)DataType.Int64, Bool = (int)DataType.Bool, Float16 = (int)DataType.Float16, BFloat16 = (int)DataType.Bfloat16;

    private readonly GraphProto graph = new() { Name = "tiny" };

    /// <summary>Adds an input; a dimension is a number or a name.</summary>
    public TinyGraph Input(string name, int type, params object[] shape)
    {
        graph.Input.Add(Value(name, type, shape));
        return this;
    }

    /// <summary>Adds an output.</summary>
    public TinyGraph Output(string name, int type, params object[] shape)
    {
        graph.Output.Add(Value(name, type, shape));
        return this;
    }

    /// <summary>Adds a constant tensor of floats.</summary>
    public TinyGraph Constant(string name, int[] shape, float[] values)
    {
        graph.Initializer.Add(new TensorProto { Name = name, DataType = DataType.Float, Dims = { shape.Select(size => (long)size) }, RawData = ByteString.CopyFrom(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan())) });
        return this;
    }

    /// <summary>Adds a node with integer attributes.</summary>
    public TinyGraph Node(string op, string[] from, string to, params (string Name, int Value)[] attributes)
    {
        graph.Node.Add(new NodeProto { OpType = op, Input = { from }, Output = { to }, Attribute = { attributes.Select(a => AttributeProto.Of(a.Name, a.Value)) } });
        return this;
    }

    /// <summary>The file's bytes: IR version 8, opset 13.</summary>
    public byte[] ToBytes() => new ModelProto { IrVersion = 8, Graph = graph, OpsetImport = { new OperatorSetIdProto { Version = 13 } } }.ToByteArray();

    /// <summary>The graph, open on the CPU.</summary>
    public Graph Load(ModelConfig? config = null, GivenInputs? given = null)
    {
        var file = Path.Combine(Directory.CreateTempSubdirectory("tiny-").FullName, "tiny.onnx");
        try
        {
            File.WriteAllBytes(file, ToBytes());
            return Graph.Open(new GraphSource(new GraphSummary { File = file, Inputs = [], Outputs = [], Attention = [] }, config ?? ModelConfig.From(default), _ => null, given), ZooGraph.Cpu);
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
        }
    }

    private static ValueInfoProto Value(string name, int type, object[] shape)
    {
        var dimensions = shape.Select(d => d is int size ? new Dimension { DimValue = size } : new Dimension { DimParam = (string)d });
        return new ValueInfoProto
        {
            Name = name,
            Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (DataType)type, Shape = new TensorShapeProto { Dim = { dimensions } } } },
        };
    }
}
