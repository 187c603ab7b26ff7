using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace InferenceServer.Engine.Execution;

/// <summary>What kind of processor this is: what was measured or packed for one kind does not hold for another.</summary>
internal static class Processor
{
    /// <summary>Architecture, model and the widest vector instructions; the same on machines that run the same kernels.</summary>
    public static string Name { get; } = $"{RuntimeInformation.ProcessArchitecture} {Model()} {Instructions()} {Environment.ProcessorCount}";

    private static string Model()
    {
        try
        {
            return File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal) || line.StartsWith("CPU part", StringComparison.Ordinal)) ?? "";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? "";
        }
    }

    private static string Instructions() => $"{(Avx2.IsSupported ? "avx2 " : "")}{(Avx512F.IsSupported ? "avx512 " : "")}{(AvxVnni.IsSupported ? "vnni" : "")}";
}
