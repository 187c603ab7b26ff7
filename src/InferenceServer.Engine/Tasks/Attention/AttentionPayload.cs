using System.Buffers.Binary;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>The numbers of an answer in a binary form, made piece by piece while they are sent: it never exists as a whole beside the numbers.</summary>
public sealed class AttentionPayload
{
    private readonly byte[] header;
    private readonly IReadOnlyList<ReadOnlyMemory<float>> tensors;
    private readonly int width;

    /// <summary>A header, and tensors one behind the other.</summary>
    /// <param name="header">Bytes in front.</param>
    /// <param name="width">Bytes a number: 4 (float32), 2 (float16) or 1 (<c>round(255 p)</c>, halves away from zero), little-endian.</param>
    /// <param name="tensors">The numbers.</param>
    internal AttentionPayload(byte[] header, int width, params IReadOnlyList<ReadOnlyMemory<float>> tensors)
    {
        (this.header, this.width, this.tensors) = (header, width, tensors);
        Length = header.Length + tensors.Sum(tensor => (long)tensor.Length * width);
    }

    /// <summary>Bytes of the whole.</summary>
    public long Length { get; }

    /// <summary>Bytes that are held until it has been sent: those of the numbers as they were computed.</summary>
    public long Held => header.Length + tensors.Sum(tensor => (long)tensor.Length * sizeof(float));

    /// <summary>The bytes in pieces of at most <paramref name="size"/> bytes, a multiple of four; of a payload without header and with one tensor all but the last have exactly that many. Each is valid until the next is asked for.</summary>
    public IEnumerable<ReadOnlyMemory<byte>> Pieces(int size)
    {
        for (var from = 0; from < header.Length; from += size)
        {
            yield return header.AsMemory(from, Math.Min(size, header.Length - from));
        }

        var buffer = new byte[size];
        foreach (var tensor in tensors)
        {
            for (int from = 0, count; from < tensor.Length; from += count)
            {
                count = Math.Min(size / width, tensor.Length - from);
                Write(tensor.Span.Slice(from, count), buffer);
                yield return buffer.AsMemory(0, count * width);
            }
        }
    }

    /// <summary>The whole.</summary>
    internal byte[] ToArray() => [.. Pieces(1 << 12).SelectMany(piece => piece.ToArray())];

    private void Write(ReadOnlySpan<float> values, Span<byte> target)
    {
        for (var i = 0; i < values.Length; i++)
        {
            switch (width)
            {
                case 4:
                    BinaryPrimitives.WriteSingleLittleEndian(target[(i * 4)..], values[i]);
                    break;
                case 2:
                    BinaryPrimitives.WriteHalfLittleEndian(target[(i * 2)..], (Half)values[i]);
                    break;
                default:
                    target[i] = (byte)Math.Clamp(MathF.Round(255 * values[i], MidpointRounding.AwayFromZero), 0, 255);
                    break;
            }
        }
    }
}
