using System.Buffers.Binary;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>A vector in the numbers that were asked for, kept as little-endian bytes.</summary>
public sealed class EmbeddingVector
{
    private readonly byte[] bytes;

    private EmbeddingVector(EmbeddingDataType type, byte[] bytes)
    {
        DataType = type;
        this.bytes = bytes;
    }

    /// <summary>The numbers of the vector.</summary>
    public EmbeddingDataType DataType { get; }

    /// <summary>The numbers, little-endian.</summary>
    public ReadOnlyMemory<byte> Bytes => bytes;

    /// <summary>How many numbers there are: the dimensions, or an eighth of them (rounded up) for bits.</summary>
    public int Count => DataType switch { EmbeddingDataType.Float32 => bytes.Length / 4, EmbeddingDataType.Float16 => bytes.Length / 2, _ => bytes.Length };

    /// <summary>The numbers as floats, whatever their type.</summary>
    public float[] ToFloats()
    {
        var floats = new float[Count];
        for (var i = 0; i < floats.Length; i++)
        {
            floats[i] = DataType switch
            {
                EmbeddingDataType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(bytes.AsSpan(i * 4)),
                EmbeddingDataType.Float16 => (float)BinaryPrimitives.ReadHalfLittleEndian(bytes.AsSpan(i * 2)),
                EmbeddingDataType.Int8 or EmbeddingDataType.Binary => (sbyte)bytes[i],
                _ => bytes[i],
            };
        }

        return floats;
    }

    /// <summary>The bytes in base64 (RFC 4648).</summary>
    public string ToBase64() => Convert.ToBase64String(bytes);

    /// <summary>Writes the numbers as a JSON array.</summary>
    public void WriteTo(Utf8JsonWriter writer)
    {
        writer.WriteStartArray();
        foreach (var value in ToFloats())
        {
            writer.WriteNumberValue(value);
        }

        writer.WriteEndArray();
    }

    /// <summary>
    /// A vector of <paramref name="type"/> from floats. The whole-number types follow sentence-transformers' <c>quantize_embeddings</c>; its int8 and uint8 take
    /// their range from a calibration set, which one vector does not have, so the range is fixed to [-1, 1] here (what unit vectors have) and what lies outside is clamped.
    /// </summary>
    public static EmbeddingVector From(ReadOnlySpan<float> values, EmbeddingDataType type) => new(type, type switch
    {
        EmbeddingDataType.Float32 => Floats(values),
        EmbeddingDataType.Float16 => Halves(values),
        EmbeddingDataType.Int8 => Steps(values, -128),
        EmbeddingDataType.Uint8 => Steps(values, 0),
        EmbeddingDataType.Binary => Bits(values, 128),
        _ => Bits(values, 0),
    });

    private static byte[] Floats(ReadOnlySpan<float> values)
    {
        var result = new byte[values.Length * 4];
        for (var i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteSingleLittleEndian(result.AsSpan(i * 4), values[i]);
        }

        return result;
    }

    private static byte[] Halves(ReadOnlySpan<float> values)
    {
        var halves = new Half[values.Length];
        TensorPrimitives.ConvertToHalf(values, halves);
        if (!BitConverter.IsLittleEndian)
        {
            for (var i = 0; i < halves.Length; i++)
            {
                halves[i] = BitConverter.Int16BitsToHalf(BinaryPrimitives.ReverseEndianness(BitConverter.HalfToInt16Bits(halves[i])));
            }
        }

        return MemoryMarshal.AsBytes(halves.AsSpan()).ToArray();
    }

    /// <summary><c>(x - start) / step + shift</c>, truncated towards zero as NumPy's <c>astype</c> does.</summary>
    private static byte[] Steps(ReadOnlySpan<float> values, int shift)
    {
        const float Start = -1f;
        const float Step = 2f / 255f;
        var result = new byte[values.Length];
        for (var i = 0; i < values.Length; i++)
        {
            var steps = Math.Clamp((values[i] - Start) / Step, 0f, 255f);
            result[i] = unchecked((byte)(int)(steps + shift));
        }

        return result;
    }

    private static byte[] Bits(ReadOnlySpan<float> values, int offset)
    {
        var result = new byte[(values.Length + 7) / 8];
        for (var i = 0; i < values.Length; i++)
        {
            if (values[i] > 0)
            {
                result[i / 8] |= (byte)(0x80 >> (i % 8));
            }
        }

        for (var i = 0; i < result.Length; i++)
        {
            result[i] = unchecked((byte)(result[i] - offset));
        }

        return result;
    }
}
