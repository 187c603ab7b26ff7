using System.Buffers.Binary;
using System.Text;
using System.Text.Json;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>Writers of the binary forms of an attention answer.</summary>
internal static class AttentionFormats
{
    private static readonly JsonSerializerOptions Snake = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>Type of the numbers in a format.</summary>
    public static string DataTypeOf(AttentionFormat format) => format switch
    {
        AttentionFormat.F16Base64 => "float16",
        AttentionFormat.U8 => "uint8",
        _ => "float32",
    };

    /// <summary>The numbers of an answer in its format; null for json.</summary>
    public static AttentionPayload? Encode(AttentionResult result) => result.Format switch
    {
        AttentionFormat.Npy => Npy(result.Values, result.Shape),
        AttentionFormat.Safetensors => Safetensors([("attention", result.Shape, result.Values), .. Components(result)], Metadata(result)),
        AttentionFormat.F16Base64 => new AttentionPayload([], 2, result.Values),
        AttentionFormat.U8 => new AttentionPayload([], 1, result.Values),
        _ => null,
    };

    /// <summary>A NumPy file, version 1.0, little-endian float32 in C order (numpy.lib.format).</summary>
    public static AttentionPayload Npy(float[] values, IReadOnlyList<int> shape)
    {
        var dimensions = shape.Count == 1 ? $"{shape[0]}," : string.Join(", ", shape);
        var text = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({dimensions}), }}";
        var header = new byte[(10 + text.Length + 1 + 63) / 64 * 64]; // the data starts at a multiple of 64
        ReadOnlySpan<byte> magic = [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', 1, 0];
        magic.CopyTo(header);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(8), (ushort)(header.Length - 10));
        header.AsSpan(10).Fill((byte)' ');
        Encoding.ASCII.GetBytes(text, header.AsSpan(10));
        header[^1] = (byte)'\n';
        return new AttentionPayload(header, 4, values);
    }

    /// <summary>A safetensors file of F32 tensors with metadata: 8 bytes of header length, the JSON header padded to 8, the data.</summary>
    public static AttentionPayload Safetensors(IReadOnlyList<(string Name, IReadOnlyList<int> Shape, float[] Values)> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        var entries = new Dictionary<string, object> { ["__metadata__"] = metadata };
        var at = 0L;
        foreach (var (name, shape, values) in tensors)
        {
            entries[name] = new Dictionary<string, object> { ["dtype"] = "F32", ["shape"] = shape, ["data_offsets"] = new[] { at, at + (values.Length * 4L) } };
            at += values.Length * 4L;
        }

        var text = JsonSerializer.SerializeToUtf8Bytes(entries);
        var header = new byte[8 + ((text.Length + 7) / 8 * 8)];
        BinaryPrimitives.WriteInt64LittleEndian(header, header.Length - 8);
        header.AsSpan(8).Fill((byte)' ');
        text.CopyTo(header, 8);
        return new AttentionPayload(header, 4, [.. tensors.Select(tensor => (ReadOnlyMemory<float>)tensor.Values)]);
    }

    private static IEnumerable<(string, IReadOnlyList<int>, float[])> Components(AttentionResult result) =>
        result.Components is { } components ? components.Tensors.Select(tensor => (JsonNamingPolicy.SnakeCaseLower.ConvertName(tensor.Part.ToString()), tensor.Shape, tensor.Values)) : [];

    private static Dictionary<string, string> Metadata(AttentionResult result)
    {
        var metadata = new Dictionary<string, string>
        {
            ["kind"] = JsonNamingPolicy.SnakeCaseLower.ConvertName(result.Kind.ToString()),
            ["axes"] = JsonSerializer.Serialize(result.Axes),
            ["layers"] = JsonSerializer.Serialize(result.Layers),
            ["heads"] = JsonSerializer.Serialize(result.Heads),
            ["tokens"] = JsonSerializer.Serialize(result.Tokens, Snake),
            ["provenance"] = JsonSerializer.Serialize(result.Provenance, Snake),
        };
        if (result.KeyTokens is { } keys)
        {
            metadata["key_tokens"] = JsonSerializer.Serialize(keys, Snake);
        }

        if (result.Components is { Scale: { Count: > 0 } scale })
        {
            metadata["scale"] = JsonSerializer.Serialize(scale);
        }

        if (result.Statistics is { } statistics)
        {
            metadata["statistics"] = JsonSerializer.Serialize(statistics, Snake);
        }

        if (result.Truncated == true)
        {
            metadata["truncated"] = "true";
        }

        return metadata;
    }
}
