using System.Globalization;
using System.Net.Sockets;
using System.Text;

/// <summary>
/// Runs inside the measured server (DOTNET_STARTUP_HOOKS names this assembly): a thread that waits on a Unix socket and answers each connection
/// with the bytes allocated since the start. It costs nothing while nobody asks. The runtime wants the class without a namespace.
/// </summary>
internal static class StartupHook
{
    /// <summary>The environment variable with the socket's path.</summary>
    public const string SocketVariable = "BENCHMARK_COUNTERS_SOCKET";

    /// <summary>Called by the runtime before the server's Main.</summary>
    public static void Initialize()
    {
        if (Environment.GetEnvironmentVariable(SocketVariable) is not { Length: > 0 } path)
        {
            return;
        }

        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        new Thread(() => Answer(listener)) { IsBackground = true, Name = "benchmark counters" }.Start();
    }

    private static void Answer(Socket listener)
    {
        while (true)
        {
            using var connection = listener.Accept();
            connection.Send(Encoding.ASCII.GetBytes(GC.GetTotalAllocatedBytes(precise: true).ToString(CultureInfo.InvariantCulture)));
        }
    }
}
