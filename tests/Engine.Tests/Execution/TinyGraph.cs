using System.Text;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Execution;

namespace InferenceServer.Engine.Tests.Execution;

/// <summary>Writes small ONNX files by hand, for input conventions and faults that no stored file has.</summary>
internal sealed class TinyGraph
{
    public const int Float = 1, Int32 = 6, Int64 = 7, Bool = 9, Float16 = 10, BFloat16 = 16;

    private readonly List<byte[]> nodes = [];
    private readonly List<byte[]> inputs = [];
    private readonly List<byte[]> outputs = [];

    /// <summary>Adds an input; a dimension is a number or a name.</summary>
    public TinyGraph Input(string name, int type, params object[] shape)
    {
        inputs.Add(Field(11, Value(name, type, shape)));
        return this;
    }

    /// <summary>Adds an output.</summary>
    public TinyGraph Output(string name, int type, params object[] shape)
    {
        outputs.Add(Field(12, Value(name, type, shape)));
        return this;
    }

    /// <summary>Adds a node with integer attributes.</summary>
    public TinyGraph Node(string op, string[] from, string to, params (string Name, int Value)[] attributes)
    {
        byte[] node = [.. from.SelectMany(i => Field(1, Text(i))), .. Field(2, Text(to)), .. Field(4, Text(op))];
        foreach (var (name, value) in attributes)
        {
            byte[] attribute = [.. Field(1, Text(name)), 0x18, .. Number(value), 0xA0, 0x01, 2]; // i = value, type = INT
            node = [.. node, .. Field(5, attribute)];
        }

        nodes.Add(Field(1, node));
        return this;
    }

    /// <summary>The file's bytes: IR version 8, opset 13.</summary>
    public byte[] ToBytes()
    {
        byte[] graph = [.. nodes.SelectMany(n => n), .. Field(2, Text("tiny")), .. inputs.SelectMany(i => i), .. outputs.SelectMany(o => o)];
        byte[] opset = [0x10, 13];
        return [0x08, 8, .. Field(7, graph), .. Field(8, opset)];
    }

    /// <summary>The graph, open on the CPU.</summary>
    public Graph Load(ModelConfig? config = null)
    {
        var file = Path.Combine(Directory.CreateTempSubdirectory("tiny-").FullName, "tiny.onnx");
        try
        {
            File.WriteAllBytes(file, ToBytes());
            return Graph.Open(new GraphSource(new GraphSummary { File = file, Inputs = [], Outputs = [], Attention = [] }, config ?? ModelConfig.From(default), _ => null), ZooGraph.Cpu);
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
        }
    }

    private static byte[] Value(string name, int type, object[] shape)
    {
        var dimensions = shape.SelectMany(d => Field(1, d is int size ? [0x08, .. Number(size)] : Field(2, Text((string)d)))).ToArray();
        byte[] tensor = [0x08, (byte)type, .. Field(2, dimensions)];
        return [.. Field(1, Text(name)), .. Field(2, Field(1, tensor))];
    }

    private static byte[] Field(int number, byte[] content) => [(byte)((number << 3) | 2), .. Number(content.Length), .. content];

    private static byte[] Number(int value)
    {
        var bytes = new List<byte>();
        for (var rest = (uint)value; ; rest >>= 7)
        {
            if (rest < 0x80)
            {
                bytes.Add((byte)rest);
                return [.. bytes];
            }

            bytes.Add((byte)(rest | 0x80));
        }
    }

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);
}
