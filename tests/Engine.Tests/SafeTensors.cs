using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace InferenceServer.Engine.Tests;

/// <summary>Reads the float32 tensors of a .safetensors file of reference values.</summary>
public sealed class SafeTensors
{
    private readonly Dictionary<string, (int[] Shape, int Start, int End)> tensors = [];
    private readonly byte[] bytes;

    private SafeTensors(byte[] bytes)
    {
        this.bytes = bytes;
        var header = (int)BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        using var json = JsonDocument.Parse(bytes.AsMemory(8, header));
        foreach (var tensor in json.RootElement.EnumerateObject().Where(t => t.Name != "__metadata__"))
        {
            var offsets = tensor.Value.GetProperty("data_offsets");
            tensors[tensor.Name] = (
                [.. tensor.Value.GetProperty("shape").EnumerateArray().Select(d => d.GetInt32())],
                8 + header + offsets[0].GetInt32(),
                8 + header + offsets[1].GetInt32());
        }
    }

    /// <summary>The tensors' names.</summary>
    public IEnumerable<string> Names => tensors.Keys;

    /// <summary>Reads a file.</summary>
    public static SafeTensors Read(string path) => new(File.ReadAllBytes(path));

    /// <summary>True when the file has the tensor.</summary>
    public bool Has(string name) => tensors.ContainsKey(name);

    /// <summary>The shape of a tensor.</summary>
    public int[] Shape(string name) => tensors[name].Shape;

    /// <summary>The values of a tensor, row-major.</summary>
    public float[] Data(string name) => MemoryMarshal.Cast<byte, float>(bytes.AsSpan(tensors[name].Start..tensors[name].End)).ToArray();
}
