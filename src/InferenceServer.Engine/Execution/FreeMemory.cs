using System.Runtime.InteropServices;

namespace InferenceServer.Engine.Execution;

/// <summary>Native memory that is free and still held by the C library's allocator.</summary>
internal static partial class FreeMemory
{
    private const int MmapThreshold = -3; // malloc.h
    private const int LargeBlock = 1 << 20;

    /// <summary>Gives it back to the system (glibc's <c>malloc_trim</c>; each thread that opens a graph leaves tens of megabytes in an arena of its own). No effect where there is no such function.</summary>
    public static void Return() => Ask(static () => Trim(0));

    /// <summary>
    /// Has large blocks go back to the system as soon as they are free (glibc's <c>M_MMAP_THRESHOLD</c>, which otherwise rises with what is freed): caches of sequences
    /// that come and go leave holes of many sizes, which took twice the memory of the caches themselves.
    /// </summary>
    public static void ReturnLargeAtOnce() => Ask(static () => SetOption(MmapThreshold, LargeBlock));

    private static void Ask(Func<int> call)
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        try
        {
            _ = call();
        }
        catch (Exception e) when (e is EntryPointNotFoundException or DllNotFoundException)
        {
            // Another C library, musl for one, keeps little.
        }
    }

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int SetOption(int option, int value);

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int Trim(nuint pad);
}
