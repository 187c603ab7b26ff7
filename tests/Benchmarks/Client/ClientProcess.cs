using System.Text.Json;

namespace InferenceServer.Benchmarks.Client;

/// <summary>Starts the client process and takes its result.</summary>
internal static class ClientProcess
{
    /// <summary>Runs the load to its end.</summary>
    public static async Task<LoadResult> RunAsync(LoadOptions options)
    {
        // One epoll thread that runs the continuations itself: no thread changes between a received answer and the next request.
        var start = ChildProcess.OfThisProgram("client", JsonSerializer.Serialize(options));
        start.Environment["DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS"] = "1";
        start.Environment["DOTNET_SYSTEM_NET_SOCKETS_THREAD_COUNT"] = "1";
        start.Environment["DOTNET_TieredCompilation"] = "0"; // compiled once, in the warm-up
        using var process = new ChildProcess(start);
        return JsonSerializer.Deserialize<LoadResult>(await process.ReadLineAsync())!;
    }
}
