using System.Buffers;
using System.Text;

namespace InferenceServer.Engine.Onnx;

/// <summary>Writes protobuf messages: the few fields that an edit of a graph needs.</summary>
internal sealed class ProtoWriter
{
    private readonly ArrayBufferWriter<byte> bytes = new();

    public byte[] ToArray() => bytes.WrittenSpan.ToArray();

    public ProtoWriter Integer(int field, long value)
    {
        Varint((ulong)field << 3);
        Varint(unchecked((ulong)value));
        return this;
    }

    public ProtoWriter Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

    public ProtoWriter Bytes(int field, ReadOnlySpan<byte> value)
    {
        Header(field, value.Length);
        bytes.Write(value);
        return this;
    }

    /// <summary>Bytes that are a field already.</summary>
    public ProtoWriter Raw(ReadOnlySpan<byte> field)
    {
        bytes.Write(field);
        return this;
    }

    /// <summary>The tag and length of a length-delimited field whose value follows.</summary>
    public ProtoWriter Header(int field, long length)
    {
        Varint(((ulong)field << 3) | 2);
        Varint((ulong)length);
        return this;
    }

    public ProtoWriter Float(int field, float value)
    {
        Varint(((ulong)field << 3) | 5);
        Span<byte> four = stackalloc byte[4];
        System.Buffers.Binary.BinaryPrimitives.WriteSingleLittleEndian(four, value);
        bytes.Write(four);
        return this;
    }

    /// <summary>NodeProto.</summary>
    public static byte[] Node(string opType, IEnumerable<string> inputs, IEnumerable<string> outputs, string domain = "", params byte[][] attributes)
    {
        var node = new ProtoWriter();
        foreach (var input in inputs)
        {
            node.Text(1, input);
        }

        foreach (var output in outputs)
        {
            node.Text(2, output);
        }

        node.Text(4, opType);
        foreach (var attribute in attributes)
        {
            node.Bytes(5, attribute);
        }

        return (domain.Length > 0 ? node.Text(7, domain) : node).ToArray();
    }

    /// <summary>AttributeProto of an integer.</summary>
    public static byte[] Attribute(string name, long value) => new ProtoWriter().Text(1, name).Integer(3, value).Integer(20, 2).ToArray();

    /// <summary>AttributeProto of a float.</summary>
    public static byte[] Attribute(string name, float value) => new ProtoWriter().Text(1, name).Float(2, value).Integer(20, 1).ToArray();

    /// <summary>AttributeProto of integers.</summary>
    public static byte[] Attribute(string name, IEnumerable<long> values)
    {
        var attribute = new ProtoWriter().Text(1, name);
        foreach (var value in values)
        {
            attribute.Integer(8, value);
        }

        return attribute.Integer(20, 7).ToArray();
    }

    /// <summary>TensorProto of int64 with one axis.</summary>
    public static byte[] Integers(string name, params long[] values)
    {
        var tensor = new ProtoWriter().Integer(1, values.Length).Integer(2, 7);
        foreach (var value in values)
        {
            tensor.Integer(7, value);
        }

        return tensor.Text(8, name).ToArray();
    }

    private void Varint(ulong value)
    {
        while (value >= 0x80)
        {
            bytes.Write([(byte)(value | 0x80)]);
            value >>= 7;
        }

        bytes.Write([(byte)value]);
    }
}
