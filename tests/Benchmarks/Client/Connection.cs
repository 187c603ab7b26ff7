using System.Net;
using System.Net.Sockets;

namespace InferenceServer.Benchmarks.Client;

/// <summary>One keep-alive connection: a socket, prepared request bytes out, the least of the answer in.</summary>
internal sealed class Connection(IPEndPoint server) : IDisposable
{
    private readonly byte[] buffer = new byte[64 * 1024];
    private readonly ResponseReader reader = new();
    private Socket? socket;

    /// <summary>Connects, if it is not connected, or the server has closed an idle connection meanwhile.</summary>
    public async ValueTask OpenAsync()
    {
        if (socket?.Poll(0, SelectMode.SelectRead) == true)
        {
            Close(); // nothing is expected to come: it has ended
        }

        if (socket is null)
        {
            var opened = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await opened.ConnectAsync(server);
                socket = opened;
            }
            catch
            {
                opened.Dispose();
                throw;
            }
        }
    }

    /// <summary>Sends a request and reads its answer to the end. Status 0 when the connection cannot be opened or breaks; the next call opens another.</summary>
    public async ValueTask<Answer> SendAsync(ReadOnlyMemory<byte> request)
    {
        try
        {
            await OpenAsync();
            await WriteAsync(request);
            reader.Reset();
            while (true)
            {
                var received = await socket!.ReceiveAsync(buffer);
                if (received == 0)
                {
                    Close();
                    return default;
                }

                if (reader.Feed(buffer.AsSpan(0, received)))
                {
                    break;
                }
            }

            if (reader.Closes)
            {
                Close();
            }

            return reader.Answer;
        }
        catch (SocketException)
        {
            Close();
            return default;
        }
    }

    /// <summary>Sends bytes without waiting for an answer.</summary>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            bytes = bytes[await socket!.SendAsync(bytes)..];
        }
    }

    /// <summary>Breaks the connection off with a TCP reset, as a client that dies does.</summary>
    public void Vanish()
    {
        if (socket is not null)
        {
            socket.LingerState = new LingerOption(true, 0);
        }

        Close();
    }

    /// <inheritdoc/>
    public void Dispose() => Close();

    private void Close()
    {
        socket?.Dispose();
        socket = null;
    }
}
