using Google.Protobuf;
using InferenceServer.Engine.Onnx.Proto;
using DataType = InferenceServer.Engine.Onnx.Proto.TensorProto.Types.DataType;

namespace InferenceServer.Engine.Onnx;

/// <summary>
/// Changes to a model file that need no re-export: nodes and outputs that are added, nodes that are replaced. An ONNX file is one protobuf
/// message, and messages merge: a second <c>graph</c> field adds to the first, so additions are bytes behind the file, and a replaced node or tensor splits the graph
/// field around it. The weights are never decoded.
/// </summary>
internal sealed class GraphEdit(OnnxModel model)
{
    private readonly GraphProto added = new();
    private readonly List<OperatorSetIdProto> opsets = [];
    private readonly SortedList<long, (long End, GraphProto By)> replaced = [];

    public bool IsEmpty => added.Node.Count == 0 && added.Output.Count == 0 && replaced.Count == 0;

    public void AddInput(ValueInfoProto input) => added.Input.Add(input);

    /// <summary>Imports a set of operators that the file does not.</summary>
    public void AddOpset(string domain, long version)
    {
        if (!model.Opsets.ContainsKey(domain))
        {
            opsets.Add(new OperatorSetIdProto { Domain = domain, Version = version });
        }
    }

    public void AddNode(NodeProto node) => added.Node.Add(node);

    public void AddInitializer(TensorProto tensor) => added.Initializer.Add(tensor);

    /// <summary>Declares the element type of a tensor, for an operator whose type ONNX Runtime does not infer.</summary>
    public void DeclareType(string tensor, DataType type) =>
        added.ValueInfo.Add(new ValueInfoProto { Name = tensor, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = type } } });

    /// <summary>Makes a tensor an output of the graph; its type is left to ONNX Runtime's inference.</summary>
    public void AddOutput(string name)
    {
        if (added.Output.All(o => o.Name != name) && model.Graph.Outputs.All(o => o.Name != name))
        {
            added.Output.Add(new ValueInfoProto { Name = name });
        }
    }

    /// <summary>The node with other outputs and with attributes that are added or replaced; all else stays as the file has it.</summary>
    public NodeProto Rewrite(OnnxNode node, IReadOnlyList<string> outputs, params AttributeProto[] attributes)
    {
        using var reader = new WireReader(model.FilePath);
        NodeProto result;
        try
        {
            result = NodeProto.Parser.ParseFrom(reader.Bytes(node.ContentStart, checked((int)(node.End - node.ContentStart))));
        }
        catch (InvalidProtocolBufferException)
        {
            throw reader.Damaged(node.Start);
        }

        result.Output.Clear();
        result.Output.Add(outputs);
        foreach (var attribute in attributes)
        {
            foreach (var old in result.Attribute.Where(a => a.Name == attribute.Name).ToList())
            {
                result.Attribute.Remove(old);
            }

            result.Attribute.Add(attribute);
        }

        return result;
    }

    /// <summary>Puts other nodes in the place of one, or none.</summary>
    public void Replace(OnnxNode node, params NodeProto[] by) => replaced[node.Start] = (node.End, new GraphProto { Node = { by } });

    /// <summary>Has a tensor's weights read from another path of external data.</summary>
    public void Relocate(OnnxTensor tensor, string location)
    {
        using var reader = new WireReader(model.FilePath);
        TensorProto copy;
        try
        {
            copy = TensorProto.Parser.ParseFrom(reader.Bytes(tensor.Field.ContentStart, checked((int)(tensor.Field.End - tensor.Field.ContentStart))));
        }
        catch (InvalidProtocolBufferException)
        {
            throw reader.Damaged(tensor.Field.Start);
        }

        copy.ExternalData.First(entry => entry.Key == "location").Value = location;
        replaced[tensor.Field.Start] = (tensor.Field.End, new GraphProto { Initializer = { copy } });
    }

    /// <summary>Tag and length of a length-delimited field whose value follows.</summary>
    internal static byte[] Header(int field, int length)
    {
        var tag = WireFormat.MakeTag(field, WireFormat.WireType.LengthDelimited);
        var bytes = new byte[CodedOutputStream.ComputeUInt32Size(tag) + CodedOutputStream.ComputeLengthSize(length)];
        using var output = new CodedOutputStream(bytes);
        output.WriteUInt32(tag);
        output.WriteLength(length);
        return bytes;
    }

    /// <summary>The edited model.</summary>
    public byte[] Apply()
    {
        // Ranges of the file and bytes of our own, in their order; then one read into one array.
        var pieces = new List<(long Start, long Length, byte[]? Own)>();
        long copied = 0;
        foreach (var range in model.GraphRanges)
        {
            var inside = replaced.Where(r => r.Key >= range.Start && r.Value.End <= range.End).ToList();
            if (inside.Count == 0)
            {
                continue;
            }

            Copy(copied, range.TagStart);
            var from = range.Start;
            foreach (var (start, (end, by)) in inside)
            {
                Part(from, start);
                if (by.Node.Count + by.Initializer.Count > 0)
                {
                    Own(new ModelProto { Graph = by }.ToByteArray());
                }

                from = end;
            }

            Part(from, range.End);
            copied = range.End;
        }

        using var reader = new WireReader(model.FilePath);
        Copy(copied, reader.Length);
        Own(new ModelProto { Graph = added, OpsetImport = { opsets } }.ToByteArray());
        var result = new byte[pieces.Sum(p => p.Length)];
        var at = 0;
        foreach (var (start, length, own) in pieces)
        {
            var target = result.AsSpan(at, (int)length);
            if (own is null)
            {
                reader.Read(start, target);
            }
            else
            {
                own.CopyTo(target);
            }

            at += (int)length;
        }

        return result;

        void Own(byte[] bytes) => pieces.Add((0, bytes.Length, bytes));

        void Copy(long start, long end) => pieces.Add((start, end - start, null));

        void Part(long start, long end)
        {
            if (end > start)
            {
                Own(Header(ModelProto.GraphFieldNumber, checked((int)(end - start))));
                Copy(start, end);
            }
        }
    }
}
