using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>
/// Reads a safetensors file (https://huggingface.co/docs/safetensors): eight bytes of header length, a JSON header, the data. F32, F16, BF16 and F64 become float32.
/// </summary>
internal sealed class SafeTensors
{
    private const long MostHeaderBytes = 16L << 20;
    private const long MostTensorBytes = 1L << 30;
    private readonly string path;
    private readonly string name;
    private readonly long dataStart;
    private readonly long length;
    private readonly JsonElement header;

    private SafeTensors(string path, string name, long dataStart, long length, JsonElement header)
    {
        this.path = path;
        this.name = name;
        this.dataStart = dataStart;
        this.length = length;
        this.header = header;
    }

    public IEnumerable<string> Names => header.EnumerateObject().Select(p => p.Name).Where(n => n != "__metadata__");

    public static SafeTensors Open(string path, string name)
    {
        try
        {
            using var file = File.OpenHandle(path);
            var length = RandomAccess.GetLength(file);
            var prefix = new byte[8];
            if (RandomAccess.Read(file, prefix, 0) < 8)
            {
                throw Damaged(name, "it has no header");
            }

            var size = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
            if (size > MostHeaderBytes || (long)size > length - 8)
            {
                throw Damaged(name, $"its header is said to have {size} bytes, the file has {length}");
            }

            var json = new byte[size];
            RandomAccess.Read(file, json, 8);
            var header = JsonFile.Parse(json, $"{name} (header)");
            return header.ValueKind == JsonValueKind.Object ? new SafeTensors(path, name, 8 + (long)size, length, header) : throw Damaged(name, "its header is no object");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelLoadException($"{name} cannot be read: {e.Message}", e);
        }
    }

    /// <summary>A tensor as float32, row-major; null when the file has none of that name.</summary>
    public (int[] Shape, float[] Values)? Read(string tensor)
    {
        if (!header.TryGetProperty(tensor, out var entry))
        {
            return null;
        }

        if (entry.ValueKind != JsonValueKind.Object
            || ConfigReader.Text(entry, "dtype") is not { } type
            || Numbers(entry, "shape") is not { } shape
            || Numbers(entry, "data_offsets") is not [var start, var end]
            || shape.Any(d => d is < 0 or > int.MaxValue))
        {
            throw Damaged(name, $"the entry of '{tensor}' is incomplete");
        }

        var size = type switch
        {
            "F64" => 8,
            "F32" => 4,
            "F16" or "BF16" => 2,
            _ => throw new ModelLoadException($"{name}: '{tensor}' is {type}; F32, F16, BF16 and F64 can be read. Save the module with one of these."),
        };
        var elements = shape.Aggregate(1.0, (product, d) => product * d);
        if (start < 0 || end < start || end > length - dataStart || end - start > MostTensorBytes || elements * size != end - start)
        {
            throw Damaged(name, $"the data of '{tensor}' does not fit its shape or the file");
        }

        var bytes = new byte[end - start];
        try
        {
            using var file = File.OpenHandle(path);
            for (var done = 0; done < bytes.Length;)
            {
                var read = RandomAccess.Read(file, bytes.AsSpan(done), dataStart + start + done);
                done += read > 0 ? read : throw Damaged(name, $"the data of '{tensor}' is cut short");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelLoadException($"{name} cannot be read: {e.Message}", e);
        }

        return ([.. shape.Select(d => (int)d)], Widen(bytes, type));
    }

    private static float[] Widen(byte[] bytes, string type)
    {
        switch (type)
        {
            case "F32":
                return MemoryMarshal.Cast<byte, float>(bytes).ToArray();
            case "F64":
                return Converted(MemoryMarshal.Cast<byte, double>(bytes), value => (float)value);
            case "F16":
                return Converted(MemoryMarshal.Cast<byte, Half>(bytes), value => (float)value);
            default:
                return Converted(MemoryMarshal.Cast<byte, ushort>(bytes), value => BitConverter.UInt32BitsToSingle((uint)value << 16));
        }
    }

    private static float[] Converted<T>(ReadOnlySpan<T> values, Func<T, float> convert)
    {
        var floats = new float[values.Length];
        for (var i = 0; i < floats.Length; i++)
        {
            floats[i] = convert(values[i]);
        }

        return floats;
    }

    private static long[]? Numbers(JsonElement entry, string property)
    {
        if (!entry.TryGetProperty(property, out var list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() > 16)
        {
            return null;
        }

        var numbers = new List<long>();
        foreach (var item in list.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt64(out var number))
            {
                return null;
            }

            numbers.Add(number);
        }

        return [.. numbers];
    }

    private static ModelLoadException Damaged(string name, string what) => new($"{name} is damaged or cut short: {what}. Download the file again.");
}
