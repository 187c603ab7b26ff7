namespace InferenceServer.Engine.Onnx;

/// <summary>
/// Changes to a model file that need no re-export: nodes and outputs that are added, nodes that are replaced. An ONNX file is one protobuf
/// message, and messages merge: a second <c>graph</c> field adds to the first, so additions are bytes behind the file, and a replaced node splits the graph
/// field around it. The weights are never decoded.
/// </summary>
internal sealed class GraphEdit(OnnxModel model)
{
    private readonly List<byte[]> nodes = [];
    private readonly List<byte[]> initializers = [];
    private readonly List<byte[]> values = [];
    private readonly List<string> outputs = [];
    private readonly SortedList<long, (long End, List<byte[]> Nodes)> replaced = [];
    private readonly Dictionary<string, long> opsets = new(StringComparer.Ordinal);

    public bool IsEmpty => nodes.Count == 0 && outputs.Count == 0 && replaced.Count == 0;

    public void AddNode(byte[] node) => nodes.Add(node);

    public void AddInitializer(byte[] tensor) => initializers.Add(tensor);

    /// <summary>Declares the element type of a tensor, for an operator whose type ONNX Runtime does not infer.</summary>
    public void DeclareType(string tensor, int type) =>
        values.Add(new ProtoWriter().Text(1, tensor).Bytes(2, new ProtoWriter().Bytes(1, new ProtoWriter().Integer(1, type).ToArray()).ToArray()).ToArray());

    /// <summary>Makes a tensor an output of the graph; its type is left to ONNX Runtime's inference.</summary>
    public void AddOutput(string name)
    {
        if (!outputs.Contains(name) && model.Graph.Outputs.All(o => o.Name != name))
        {
            outputs.Add(name);
        }
    }

    /// <summary>Makes sure that the file imports an operator set.</summary>
    public void RequireOpset(string domain, long version)
    {
        if (!model.Opsets.ContainsKey(domain))
        {
            opsets[domain] = version;
        }
    }

    /// <summary>The node with other outputs and with attributes that are added or replaced; all else stays as the file has it.</summary>
    public byte[] Rewrite(OnnxNode node, IReadOnlyList<string> outputsOfNode, params (string Name, byte[] Attribute)[] attributes)
    {
        using var reader = new WireReader(model.FilePath);
        var result = new ProtoWriter();
        foreach (var field in reader.Fields(node.ContentStart, node.End))
        {
            var replacedField = field.Number == 2
                || (field.Number == 5 && reader.Fields(field).Any(f => f.Number == 1 && attributes.Any(a => a.Name == reader.Text(f))));
            if (!replacedField)
            {
                result.Raw(reader.Bytes(field.TagStart, checked((int)(field.End - field.TagStart))));
            }
        }

        foreach (var output in outputsOfNode)
        {
            result.Text(2, output);
        }

        foreach (var (_, attribute) in attributes)
        {
            result.Bytes(5, attribute);
        }

        return result.ToArray();
    }

    /// <summary>Puts other nodes in the place of one.</summary>
    public void Replace(OnnxNode node, params byte[][] by) => replaced[node.Start] = (node.End, [.. by]);

    /// <summary>What is put behind the file: <c>ModelProto { graph { node, initializer, output }, opset_import }</c>.</summary>
    public byte[] Appendix()
    {
        var graph = new ProtoWriter();
        nodes.ForEach(node => graph.Bytes(1, node));
        initializers.ForEach(tensor => graph.Bytes(5, tensor));
        values.ForEach(value => graph.Bytes(13, value));
        outputs.ForEach(output => graph.Bytes(12, new ProtoWriter().Text(1, output).ToArray()));
        var appendix = new ProtoWriter().Bytes(7, graph.ToArray());
        foreach (var (domain, version) in opsets)
        {
            appendix.Bytes(8, new ProtoWriter().Text(1, domain).Integer(2, version).ToArray());
        }

        return appendix.ToArray();
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
                by.ForEach(node => Own(new ProtoWriter().Bytes(7, new ProtoWriter().Bytes(1, node).ToArray()).ToArray()));
                from = end;
            }

            Part(from, range.End);
            copied = range.End;
        }

        using var reader = new WireReader(model.FilePath);
        Copy(copied, reader.Length);
        Own(Appendix());
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
                Own(new ProtoWriter().Header(7, end - start).ToArray());
                Copy(start, end);
            }
        }
    }
}
