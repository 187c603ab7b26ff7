using System.Runtime.InteropServices;

namespace InferenceServer.Engine.Execution;

/// <summary>Native memory that is free and still held by the C library's allocator.</summary>
internal static partial class FreeMemory
{
    /// <summary>Gives it back to the system (glibc's <c>malloc_trim</c>; each thread that opens a graph leaves tens of megabytes in an arena of its own). No effect where there is no such function.</summary>
    public static void Return()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        try
        {
            _ = Trim(0);
        }
        catch (Exception e) when (e is EntryPointNotFoundException or DllNotFoundException)
        {
            // Another C library, musl for one, keeps little.
        }
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int Trim(nuint pad);
}
