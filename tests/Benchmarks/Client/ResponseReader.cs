using System.Buffers.Text;
using System.Text;

namespace InferenceServer.Benchmarks.Client;

/// <summary>What the client looks at in an answer.</summary>
/// <param name="Status">The HTTP status; 0 when the connection broke first.</param>
/// <param name="RetryAfter">Seconds of the <c>Retry-After</c> header; -1 without one.</param>
internal readonly record struct Answer(int Status, int RetryAfter);

/// <summary>
/// Finds the end of one HTTP/1.1 answer in the bytes as they come, by <c>Content-Length</c> or chunks, and looks at nothing else: a client
/// that parsed the JSON would take from the server the processor time that is being measured.
/// </summary>
internal sealed class ResponseReader
{
    private const int MaxHeaderBytes = 32 * 1024;
    private readonly byte[] headers = new byte[MaxHeaderBytes];
    private int headerBytes;
    private State state;
    private long remaining;
    private bool sizeEnded;

    private enum State
    {
        Headers,
        Body,
        ChunkSize,
        ChunkData,
        Trailer,
        Complete,
    }

    /// <summary>Status and Retry-After; of use when <see cref="Feed"/> has returned true.</summary>
    public Answer Answer { get; private set; }

    /// <summary>Whether the server closes the connection after this answer.</summary>
    public bool Closes { get; private set; }

    /// <summary>Begins the next answer.</summary>
    public void Reset()
    {
        (headerBytes, state, remaining, sizeEnded, Closes) = (0, State.Headers, 0, false, false);
        Answer = default;
    }

    /// <summary>Takes what was received; true when the answer is complete.</summary>
    public bool Feed(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0 && state != State.Complete)
        {
            bytes = state switch
            {
                State.Headers => Headers(bytes),
                State.Body => Skip(bytes, State.Complete),
                State.ChunkSize => ChunkSize(bytes),
                State.ChunkData => Skip(bytes, State.ChunkSize),
                _ => Trailer(bytes),
            };
        }

        return state == State.Complete;
    }

    private ReadOnlySpan<byte> Headers(ReadOnlySpan<byte> bytes)
    {
        var before = headerBytes;
        var taken = Math.Min(bytes.Length, MaxHeaderBytes - before);
        bytes[..taken].CopyTo(headers.AsSpan(before));
        headerBytes += taken;
        var from = Math.Max(0, before - 3);
        var end = headers.AsSpan(from, headerBytes - from).IndexOf("\r\n\r\n"u8);
        if (end < 0)
        {
            return headerBytes < MaxHeaderBytes ? [] : throw new InvalidDataException($"The headers of an answer are longer than {MaxHeaderBytes} bytes.");
        }

        end += from;
        ReadHeaders(headers.AsSpan(0, end + 2));
        return bytes[(end + 4 - before)..];
    }

    private void ReadHeaders(ReadOnlySpan<byte> lines)
    {
        // HTTP/1.1 200 OK
        if (lines.Length < 12 || !lines.StartsWith("HTTP/1."u8) || !Utf8Parser.TryParse(lines[9..12], out int status, out _))
        {
            throw new InvalidDataException($"Not an HTTP/1.1 answer: {Encoding.ASCII.GetString(lines[..Math.Min(lines.Length, 40)])}");
        }

        var (retryAfter, length, chunked) = (-1, 0L, false);
        lines = lines[(lines.IndexOf((byte)'\n') + 1)..];
        while (lines.Length > 0)
        {
            var end = lines.IndexOf((byte)'\n');
            var line = lines[..end].TrimEnd((byte)'\r');
            lines = lines[(end + 1)..];
            var colon = line.IndexOf((byte)':');
            var name = line[..colon];
            var value = line[(colon + 1)..].Trim((byte)' ');
            if (Ascii.EqualsIgnoreCase(name, "content-length"u8))
            {
                length = Utf8Parser.TryParse(value, out long bytes, out _) ? bytes : throw new InvalidDataException("Content-Length is not a number.");
            }
            else if (Ascii.EqualsIgnoreCase(name, "transfer-encoding"u8))
            {
                chunked = Ascii.EqualsIgnoreCase(value, "chunked"u8);
            }
            else if (Ascii.EqualsIgnoreCase(name, "retry-after"u8))
            {
                retryAfter = Utf8Parser.TryParse(value, out int seconds, out _) ? seconds : -1;
            }
            else if (Ascii.EqualsIgnoreCase(name, "connection"u8))
            {
                Closes = Ascii.EqualsIgnoreCase(value, "close"u8);
            }
        }

        Answer = new Answer(status, retryAfter);
        (state, remaining) = chunked ? (State.ChunkSize, 0) : length > 0 ? (State.Body, length) : (State.Complete, 0);
    }

    private ReadOnlySpan<byte> Skip(ReadOnlySpan<byte> bytes, State next)
    {
        var taken = (int)Math.Min(remaining, bytes.Length);
        remaining -= taken;
        if (remaining == 0)
        {
            state = next;
        }

        return bytes[taken..];
    }

    // The size in hexadecimal digits, perhaps an extension, CR LF.
    private ReadOnlySpan<byte> ChunkSize(ReadOnlySpan<byte> bytes)
    {
        for (var i = 0; i < bytes.Length; i++)
        {
            var b = bytes[i];
            if (b == '\n')
            {
                // The data of a chunk end in CR LF, which are skipped with them; the last chunk has none.
                (state, remaining) = remaining == 0 ? (State.Trailer, 0) : (State.ChunkData, remaining + 2);
                sizeEnded = false;
                return bytes[(i + 1)..];
            }

            sizeEnded |= !char.IsAsciiHexDigit((char)b);
            if (!sizeEnded)
            {
                remaining = (remaining << 4) + Digit(b);
            }
        }

        return [];
    }

    private static int Digit(byte b) => b <= '9' ? b - '0' : (b | 0x20) - 'a' + 10;

    // Lines up to an empty one; remaining counts the bytes of the present line.
    private ReadOnlySpan<byte> Trailer(ReadOnlySpan<byte> bytes)
    {
        for (var i = 0; i < bytes.Length; i++)
        {
            if (bytes[i] == '\n')
            {
                if (remaining == 0)
                {
                    state = State.Complete;
                    return bytes[(i + 1)..];
                }

                remaining = 0;
            }
            else if (bytes[i] != '\r')
            {
                remaining++;
            }
        }

        return [];
    }
}
