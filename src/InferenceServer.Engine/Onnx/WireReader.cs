using System.Text;
using Google.Protobuf;
using InferenceServer.Engine.Diagnostics;
using Microsoft.Win32.SafeHandles;

namespace InferenceServer.Engine.Onnx;

/// <summary>A field of a protobuf message: its number, its scalar value, or for a length-delimited one the range of its bytes in the file.</summary>
/// <param name="Number">Field number.</param>
/// <param name="IsBytes">Length-delimited (a message, a string, packed numbers).</param>
/// <param name="Value">The scalar, where it is one.</param>
/// <param name="TagStart">Where the field begins, its tag included.</param>
/// <param name="Start">Where the value begins.</param>
/// <param name="End">Where the value ends.</param>
internal readonly record struct WireField(int Number, bool IsBytes, ulong Value, long TagStart, long Start, long End)
{
    public long Length => End - Start;
}

/// <summary>
/// Reads the protobuf wire format (https://protobuf.dev/programming-guides/encoding) from a file by position: what is not
/// asked for is stepped over without being read, so the weights of a model are never touched.
/// </summary>
/// <remarks>A file that is read while another program shortens it gives an error, where a memory-mapped one would end the process.</remarks>
internal sealed class WireReader : IDisposable
{
    private const int LongestText = 1 << 20;
    private const int TagTypeBits = 3;
    private const ulong TagTypeMask = (1 << TagTypeBits) - 1;
    private const ulong MostFields = (1 << 29) - 1;
    private readonly SafeFileHandle file;
    private readonly byte[] buffer = new byte[1 << 16];
    private readonly string name;
    private long bufferStart;
    private int buffered;
    private long position;

    public WireReader(string path)
    {
        name = Path.GetFileName(path);
        file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read, FileOptions.RandomAccess);
        Length = RandomAccess.GetLength(file);
    }

    public long Length { get; }

    public void Dispose() => file.Dispose();

    /// <summary>The fields of the message that lies at <paramref name="start"/> .. <paramref name="end"/>.</summary>
    public IEnumerable<WireField> Fields(long start, long end)
    {
        for (var at = start; at < end;)
        {
            var field = Field(at, end);
            at = field.End;
            yield return field;
        }
    }

    /// <summary>The fields of a message that is the value of <paramref name="field"/>.</summary>
    public IEnumerable<WireField> Fields(WireField field) => field.IsBytes ? Fields(field.Start, field.End) : throw Damaged(field.TagStart);

    /// <summary>The value of a string field.</summary>
    public string Text(WireField field)
    {
        if (!field.IsBytes || field.Length > LongestText)
        {
            throw Damaged(field.TagStart);
        }

        return Encoding.UTF8.GetString(Bytes(field));
    }

    /// <summary>The bytes of a length-delimited field.</summary>
    public byte[] Bytes(WireField field) => field.IsBytes ? Bytes(field.Start, checked((int)field.Length)) : throw Damaged(field.TagStart);

    /// <summary>Bytes of the file.</summary>
    public byte[] Bytes(long start, int length)
    {
        var bytes = new byte[length];
        Read(start, bytes);
        return bytes;
    }

    /// <summary>Fills a buffer with bytes of the file.</summary>
    public void Read(long start, Span<byte> bytes)
    {
        for (var done = 0; done < bytes.Length;)
        {
            var read = RandomAccess.Read(file, bytes[done..], start + done);
            done += read > 0 ? read : throw Damaged(start + done);
        }
    }

    /// <summary>Adds an integer field that is repeated, packed or not.</summary>
    public void AddIntegers(WireField field, List<long> values, int limit)
    {
        if (!field.IsBytes)
        {
            values.Add(unchecked((long)field.Value));
            return;
        }

        position = field.Start;
        while (position < field.End && values.Count < limit)
        {
            values.Add(unchecked((long)Varint(field.End)));
        }
    }

    public ModelLoadException Damaged(long at) => new(
        $"{name} is damaged or cut short (at byte {at} of {Length}): it is not a complete ONNX file. Download or export it again.");

    private WireField Field(long at, long end)
    {
        position = at;
        var tag = Varint(end);
        var number = tag >> TagTypeBits;
        if (number is 0 or > MostFields)
        {
            throw Damaged(at);
        }

        ulong value = 0;
        var start = position;
        switch ((WireFormat.WireType)(tag & TagTypeMask))
        {
            case WireFormat.WireType.Varint:
                value = Varint(end);
                return new WireField((int)number, false, value, at, start, position);
            case WireFormat.WireType.Fixed64:
                value = Fixed(8, end);
                return new WireField((int)number, false, value, at, start, position);
            case WireFormat.WireType.Fixed32:
                value = Fixed(4, end);
                return new WireField((int)number, false, value, at, start, position);
            case WireFormat.WireType.LengthDelimited:
                var length = Varint(end);
                start = position;
                if (length > (ulong)(end - start))
                {
                    throw Damaged(at);
                }

                return new WireField((int)number, true, 0, at, start, start + (long)length);
            default:
                throw Damaged(at);
        }
    }

    private ulong Fixed(int bytes, long end)
    {
        ulong value = 0;
        for (var i = 0; i < bytes; i++)
        {
            value |= (ulong)Next(end) << (8 * i);
        }

        return value;
    }

    private ulong Varint(long end)
    {
        ulong value = 0;
        for (var shift = 0; shift < 70; shift += 7)
        {
            var next = Next(end);
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }

        throw Damaged(position);
    }

    private byte Next(long end)
    {
        if (position >= end)
        {
            throw Damaged(position);
        }

        if (position < bufferStart || position >= bufferStart + buffered)
        {
            bufferStart = position;
            buffered = RandomAccess.Read(file, buffer, position);
            if (buffered == 0)
            {
                throw Damaged(position);
            }
        }

        return buffer[position++ - bufferStart];
    }
}
