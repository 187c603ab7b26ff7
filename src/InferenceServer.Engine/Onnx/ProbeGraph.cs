using Google.Protobuf;
using InferenceServer.Engine.Onnx.Proto;

namespace InferenceServer.Engine.Onnx;

/// <summary>The smallest graph that computes something: <c>y = x + x</c> over <c>float[2]</c>, opset 13, in the bytes of an ONNX file.</summary>
internal static class ProbeGraph
{
    /// <summary>The file.</summary>
    public static byte[] Bytes { get; } = new ModelProto
    {
        IrVersion = 8,
        OpsetImport = { new OperatorSetIdProto { Version = 13 } },
        Graph = new GraphProto
        {
            Name = "probe",
            Node = { new NodeProto { OpType = "Add", Input = { "x", "x" }, Output = { "y" } } },
            Input = { Value("x") },
            Output = { Value("y") },
        },
    }.ToByteArray();

    private static ValueInfoProto Value(string name) => new()
    {
        Name = name,
        Type = new TypeProto
        {
            TensorType = new TypeProto.Types.Tensor
            {
                ElemType = TensorProto.Types.DataType.Float,
                Shape = new TensorShapeProto { Dim = { new TensorShapeProto.Types.Dimension { DimValue = 2 } } },
            },
        },
    };
}
