using InferenceServer.Engine.Sessions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace InferenceServer.Engine.Tests.Sessions;

/// <summary>CUDA asked for where there is none: one line that names the cause and the remedy, or an announced fall-back.</summary>
public sealed class ExecutionDeviceTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("provider").FullName;

    [Fact]
    public void The_cpu_is_always_there() => Assert.Equal("cpu", ZooGraph.Cpu.Name);

    [Fact]
    public void Cuda_without_a_gpu_names_the_cause_and_the_remedy()
    {
        Assert.SkipWhen(HasGpu, "this machine has an NVIDIA GPU");
        var line = Refused(new ExecutionOptions { Provider = ExecutionProvider.Cuda });
        Assert.Contains("CUDA", line, StringComparison.Ordinal);
        Assert.Contains("Execution:Provider=cpu", line, StringComparison.Ordinal);
    }

    [Fact]
    public void Auto_falls_back_and_says_why()
    {
        Assert.SkipWhen(HasGpu, "this machine has an NVIDIA GPU");
        var log = new Lines();
        var device = ExecutionDevice.Resolve(new ExecutionOptions { ProviderLibrary = Path.Combine(folder, "absent.so") }, log);
        Assert.Equal("cpu", device.Name);
        var (level, line) = Assert.Single(log.All);
        Assert.Equal(LogLevel.Warning, level);
        Assert.Contains("there is no such file", line, StringComparison.Ordinal);
    }

    [Fact]
    public void A_provider_library_that_is_absent() => Assert.Contains("there is no such file", Library(Path.Combine(folder, "absent.so")), StringComparison.Ordinal);

    [Fact]
    public void A_provider_library_that_is_a_folder() => Assert.Contains("it is a folder", Library(folder), StringComparison.Ordinal);

    [Theory]
    [InlineData("")]
    [InlineData("version https://git-lfs.github.com/spec/v1")]
    public void A_provider_library_that_is_no_library(string content)
    {
        var path = Path.Combine(folder, "libonnxruntime_providers_cuda.so");
        File.WriteAllText(path, content);
        Assert.Contains("no shared library", Library(path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_provider_library_that_is_damaged()
    {
        var path = Path.Combine(folder, "libonnxruntime_providers_cuda.so");
        File.WriteAllBytes(path, [0x7F, (byte)'E', (byte)'L', (byte)'F', .. new byte[100]]);
        Assert.Contains("cannot", Library(path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_provider_library_that_is_something_else()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "takes a library of the .NET runtime for Linux");
        var other = Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "libSystem.Native.so");
        Assert.Contains("no execution provider", Library(other), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 0, false)]
    [InlineData(3, 0, false)]
    [InlineData(0, 2, false)]
    [InlineData(1, 4, false)]
    [InlineData(0, 0, true)]
    public void Workers_and_threads_are_always_set(int workers, int threads, bool gpu)
    {
        var (resolvedWorkers, resolvedThreads) = new ExecutionOptions { Workers = workers, IntraOpThreads = threads }.Resolve(gpu);
        Assert.Equal(workers > 0 ? workers : gpu ? 1 : threads > 0 ? Math.Max(1, Environment.ProcessorCount / threads) : Environment.ProcessorCount, resolvedWorkers);
        Assert.Equal(threads > 0 ? threads : Math.Max(1, Environment.ProcessorCount / resolvedWorkers), resolvedThreads);
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private static bool HasGpu => File.Exists("/dev/nvidia0") || File.Exists("/proc/driver/nvidia/version");

    private static string Library(string path)
    {
        var line = Refused(new ExecutionOptions { Provider = ExecutionProvider.Cuda, ProviderLibrary = path });
        Assert.StartsWith($"Execution:ProviderLibrary '{path}': ", line, StringComparison.Ordinal);
        return line;
    }

    private static string Refused(ExecutionOptions options)
    {
        var e = Assert.Throws<ExecutionProviderException>(() => ExecutionDevice.Resolve(options, NullLogger.Instance));
        Assert.DoesNotContain('\n', e.Message);
        TestContext.Current.TestOutputHelper!.WriteLine(e.Message + "  <- " + e.InnerException?.Message);
        return e.Message;
    }

    private sealed class Lines : ILogger
    {
        public List<(LogLevel Level, string Text)> All { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            All.Add((logLevel, formatter(state, exception)));
    }
}
