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

    /// <summary>The bytes of an answer in its format; null for json.</summary>
    public static byte[]? Encode(AttentionResult result) => result.Format switch
    {
        AttentionFormat.Npy => Npy(result.Values, result.Shape),
        AttentionFormat.Safetensors => Safetensors(result.Values, result.Shape, Metadata(result)),
        AttentionFormat.F16Base64 => Halves(result.Values),
        AttentionFormat.U8 => Bytes(result.Values),
        _ => null,
    };

    /// <summary>A NumPy file, version 1.0, little-endian float32 in C order (numpy.lib.format).</summary>
    public static byte[] Npy(ReadOnlySpan<float> values, IReadOnlyList<int> shape)
    {
        var dimensions = shape.Count == 1 ? $"{shape[0]}," : string.Join(", ", shape);
        var header = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({dimensions}), }}";
        var length = (10 + header.Length + 1 + 63) / 64 * 64; // the data starts at a multiple of 64
        var file = new byte[length + (values.Length * 4)];
        ReadOnlySpan<byte> magic = [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', 1, 0];
        magic.CopyTo(file);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(8), (ushort)(length - 10));
        file.AsSpan(10, length - 11).Fill((byte)' ');
        Encoding.ASCII.GetBytes(header, file.AsSpan(10));
        file[length - 1] = (byte)'\n';
        Floats(values, file.AsSpan(length));
        return file;
    }

    /// <summary>A safetensors file with the tensor <c>attention</c> (F32) and metadata: 8 bytes of header length, the JSON header padded to 8, the data.</summary>
    public static byte[] Safetensors(ReadOnlySpan<float> values, IReadOnlyList<int> shape, IReadOnlyDictionary<string, string> metadata)
    {
        var header = JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, object>
        {
            ["__metadata__"] = metadata,
            ["attention"] = new Dictionary<string, object> { ["dtype"] = "F32", ["shape"] = shape, ["data_offsets"] = new[] { 0L, values.Length * 4L } },
        });
        var padded = (header.Length + 7) / 8 * 8;
        var file = new byte[8 + padded + (values.Length * 4)];
        BinaryPrimitives.WriteInt64LittleEndian(file, padded);
        header.CopyTo(file, 8);
        file.AsSpan(8 + header.Length, padded - header.Length).Fill((byte)' ');
        Floats(values, file.AsSpan(8 + padded));
        return file;
    }

    /// <summary>Little-endian 16-bit floats.</summary>
    public static byte[] Halves(ReadOnlySpan<float> values)
    {
        var bytes = new byte[values.Length * 2];
        for (var i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteHalfLittleEndian(bytes.AsSpan(i * 2), (Half)values[i]);
        }

        return bytes;
    }

    /// <summary><c>round(255 p)</c>, halves away from zero, clamped to 0 .. 255.</summary>
    public static byte[] Bytes(ReadOnlySpan<float> values)
    {
        var bytes = new byte[values.Length];
        for (var i = 0; i < values.Length; i++)
        {
            bytes[i] = (byte)Math.Clamp(MathF.Round(255 * values[i], MidpointRounding.AwayFromZero), 0, 255);
        }

        return bytes;
    }

    private static void Floats(ReadOnlySpan<float> values, Span<byte> target)
    {
        for (var i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteSingleLittleEndian(target[(i * 4)..], values[i]);
        }
    }

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
