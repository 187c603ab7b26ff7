using System.Text;

namespace InferenceServer.TestSupport;

/// <summary>
/// ONNX files of a few kilobytes that compute <c>last_hidden_state [batch, sequence, 1]</c> of <c>input_ids</c> and never come to an end with it.
/// Written field by field, as protocol buffers have them, since no program exports such files.
/// </summary>
public static class EndlessGraph
{
    private const int Float = 1, Int64 = 7, Bool = 9; // TensorProto.DataType

    /// <summary>A graph that opens at once and whose every run is a loop of 2^62 rounds; with <paramref name="onToken"/> only runs of texts with that token are.</summary>
    public static byte[] InRuns(int? onToken = null)
    {
        var body = Graph(
            "body",
            [Node("Identity", ["go"], ["go_on"]), Node("Identity", ["state"], ["next"])],
            [],
            [Value("round", Int64), Value("go", Bool), Value("state", Float, "batch", "sequence", 1)],
            [Value("go_on", Bool), Value("next", Float, "batch", "sequence", 1)]);
        byte[][] counted = onToken is null ? [] : [Node("Equal", ["input_ids", "id"], ["same"]), Node("Cast", ["same"], ["sames"], Attribute("to", Int64)), Node("ReduceMax", ["sames"], ["any"], Attribute("keepdims", 0)), Node("Mul", ["any", "most"], ["rounds"])];
        return Model(
            [.. Embedded("begin"), .. counted, Node("Loop", ["rounds", "true", "begin"], ["last_hidden_state"], Attribute("body", body))],
            [Axis(), Tensor("id", Int64, [], BitConverter.GetBytes((long)(onToken ?? 0))), Tensor(onToken is null ? "rounds" : "most", Int64, [], BitConverter.GetBytes(1L << 62)), Tensor("true", Bool, [], [1])]);
    }

    /// <summary>A graph that takes hours to open: the runtime computes what depends on constants alone before the first run, here one operator that it cannot be stopped in.</summary>
    /// <param name="size">Side of a plane whose means over windows of half that side are computed: time grows with its fourth power. 4000 are hours and 80 MB.</param>
    public static byte[] AtOpening(int size = 4000)
    {
        var window = size / 2;
        return Model(
            [
                .. Embedded("begin"), Node("Expand", ["one", "shape"], ["plane"]),
                Node("AveragePool", ["plane"], ["means"], List("kernel_shape", window, window)), Node("ReduceMax", ["means"], ["most"], Attribute("keepdims", 0)),
                Node("Add", ["begin", "most"], ["last_hidden_state"]),
            ],
            [Axis(), Tensor("one", Float, [], BitConverter.GetBytes(1f)), Tensor("shape", Int64, [4], [.. new long[] { 1, 1, size, size }.SelectMany(BitConverter.GetBytes)])]);
    }

    /// <summary>A graph that loads and serves, and does not come back from an operator, which no flag ends, when a text has the token <paramref name="id"/>.</summary>
    public static byte[] OnToken(int id)
    {
        var then = Graph(
            "then_body",
            [
                Node("ReduceMax", ["begin"], ["first"], Attribute("keepdims", 0)), Node("Expand", ["first", "shape"], ["plane"]),
                Node("AveragePool", ["plane"], ["means"], List("kernel_shape", 2000, 2000)), Node("ReduceMax", ["means"], ["most"], Attribute("keepdims", 0)), Node("Add", ["begin", "most"], ["then"]),
            ],
            [],
            [],
            [Value("then", Float, "batch", "sequence", 1)]);
        var otherwise = Graph("else_body", [Node("Identity", ["begin"], ["else"])], [], [], [Value("else", Float, "batch", "sequence", 1)]);
        return Model(
            [
                .. Embedded("begin"), Node("Equal", ["input_ids", "id"], ["same"]), Node("Cast", ["same"], ["sames"], Attribute("to", Float)),
                Node("ReduceMax", ["sames"], ["any"], Attribute("keepdims", 0)), Node("Cast", ["any"], ["condition"], Attribute("to", Bool)),
                Node("If", ["condition"], ["last_hidden_state"], Attribute("then_branch", then), Attribute("else_branch", otherwise)),
            ],
            [Axis(), Tensor("id", Int64, [], BitConverter.GetBytes((long)id)), Tensor("shape", Int64, [4], [.. new long[] { 1, 1, 4000, 4000 }.SelectMany(BitConverter.GetBytes)])]);
    }

    private static byte[][] Embedded(string to) => [Node("Cast", ["input_ids"], ["numbers"], Attribute("to", Float)), Node("Unsqueeze", ["numbers", "axis"], [to])];

    private static byte[] Axis() => Tensor("axis", Int64, [1], BitConverter.GetBytes(2L));

    private static byte[] Model(byte[][] nodes, byte[][] constants) =>
        [
            .. Number(1, 8),
            .. Bytes(7, Graph("endless", nodes, constants, [Value("input_ids", Int64, "batch", "sequence")], [Value("last_hidden_state", Float, "batch", "sequence", 1)])),
            .. Bytes(8, Number(2, 13)),
        ];

    private static byte[] Graph(string name, byte[][] nodes, byte[][] constants, byte[][] inputs, byte[][] outputs) =>
        [.. nodes.SelectMany(n => Bytes(1, n)), .. Text(2, name), .. constants.SelectMany(c => Bytes(5, c)), .. inputs.SelectMany(i => Bytes(11, i)), .. outputs.SelectMany(o => Bytes(12, o))];

    private static byte[] Node(string op, string[] from, string[] to, params byte[][] attributes) =>
        [.. from.SelectMany(n => Text(1, n)), .. to.SelectMany(n => Text(2, n)), .. Text(4, op), .. attributes.SelectMany(a => Bytes(5, a))];

    private static byte[] Attribute(string name, long value) => [.. Text(1, name), .. Number(3, value), .. Number(20, 2)];

    private static byte[] Attribute(string name, byte[] graph) => [.. Text(1, name), .. Bytes(6, graph), .. Number(20, 5)];

    private static byte[] List(string name, params long[] values) => [.. Text(1, name), .. values.SelectMany(v => Number(8, v)), .. Number(20, 7)];

    private static byte[] Tensor(string name, int type, long[] shape, byte[] data) => [.. shape.SelectMany(d => Number(1, d)), .. Number(2, type), .. Text(8, name), .. Bytes(9, data)];

    // A dimension is a number or a name.
    private static byte[] Value(string name, int type, params object[] shape)
    {
        byte[] dimensions = [.. shape.SelectMany(d => Bytes(1, d is int size ? Number(1, size) : Text(2, (string)d)))];
        return [.. Text(1, name), .. Bytes(2, Bytes(1, [.. Number(1, type), .. Bytes(2, dimensions)]))];
    }

    private static byte[] Text(int field, string text) => Bytes(field, Encoding.UTF8.GetBytes(text));

    private static byte[] Bytes(int field, byte[] content) => [.. Variable((field << 3) | 2), .. Variable(content.Length), .. content];

    private static byte[] Number(int field, long value) => [.. Variable(field << 3), .. Variable(value)];

    private static byte[] Variable(long value)
    {
        var bytes = new List<byte>();
        var rest = (ulong)value;
        for (; rest >= 0x80; rest >>= 7)
        {
            bytes.Add((byte)(rest | 0x80));
        }

        return [.. bytes, (byte)rest];
    }
}
