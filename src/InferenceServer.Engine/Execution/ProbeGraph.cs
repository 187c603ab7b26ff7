namespace InferenceServer.Engine.Execution;

/// <summary>The smallest graph that computes something: <c>y = x + x</c> over <c>float[2]</c>, opset 13, in the bytes of an ONNX file.</summary>
internal static class ProbeGraph
{
    /// <summary>The file.</summary>
    public static byte[] Bytes { get; } = Make();

    private static byte[] Make()
    {
        byte[] node = [.. Field(1, "x"u8), .. Field(1, "x"u8), .. Field(2, "y"u8), .. Field(4, "Add"u8)];
        byte[] graph = [.. Field(1, node), .. Field(2, "probe"u8), .. Field(11, Value("x"u8)), .. Field(12, Value("y"u8))];
        byte[] opset = [0x10, 13];
        return [0x08, 8, .. Field(7, graph), .. Field(8, opset)]; // ir_version 8
    }

    private static byte[] Value(ReadOnlySpan<byte> name)
    {
        byte[] dimension = [0x08, 2];
        byte[] tensor = [0x08, 1, .. Field(2, Field(1, dimension))]; // elem_type float, shape [2]
        return [.. Field(1, name), .. Field(2, Field(1, tensor))];
    }

    // A length-delimited field; everything here is shorter than 128 bytes.
    private static byte[] Field(int number, ReadOnlySpan<byte> content) => [(byte)((number << 3) | 2), (byte)content.Length, .. content];
}
