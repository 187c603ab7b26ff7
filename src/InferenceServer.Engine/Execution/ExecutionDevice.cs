using System.Globalization;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Onnx;
using Microsoft.Extensions.Logging;
using Microsoft.ML.OnnxRuntime;

namespace InferenceServer.Engine.Execution;

/// <summary>Where graphs run, found out once at start-up: the CPU, or a CUDA device that has been tried.</summary>
internal sealed partial class ExecutionDevice
{
    private const string CudaProvider = "CUDAExecutionProvider";
    private const string Registration = "cuda";
    private const string SpinMicroseconds = "1000"; // longer than the pause between two requests of one client, shorter than anyone notices on an idle machine

    private static readonly Lock Registering = new();
    private static string? registered;

    private readonly ExecutionOptions options;
    private readonly IReadOnlyList<OrtEpDevice>? devices; // of a provider library that was registered at run time

    private ExecutionDevice(string name, ExecutionOptions options, IReadOnlyList<OrtEpDevice>? devices = null)
    {
        Name = name;
        this.options = options;
        this.devices = devices;
        (Workers, Threads) = options.Resolve(IsGpu);
        CacheDirectory = options.CacheDirectory is { Length: > 0 } directory ? Path.GetFullPath(directory) : null;
    }

    /// <summary><c>cpu</c> or <c>cuda</c>.</summary>
    public string Name { get; }

    /// <summary>True on a GPU.</summary>
    public bool IsGpu => Name == "cuda";

    /// <summary>Batches that run at once, of all models together.</summary>
    public int Workers { get; }

    /// <summary>Most threads of one batch.</summary>
    public int Threads { get; }

    /// <summary>Full path of the folder for what may be kept between starts, or null.</summary>
    public string? CacheDirectory { get; }

    /// <summary>The memory arenas of a session here, as the run option that shrinks them names them.</summary>
    public string Arenas => IsGpu ? $"cpu:0;gpu:{options.DeviceId}" : "cpu:0";

    /// <summary>Finds the device that the options mean, and tries it.</summary>
    /// <exception cref="ExecutionProviderException">CUDA was asked for and is not usable.</exception>
    public static ExecutionDevice Resolve(ExecutionOptions options, ILogger logger)
    {
        CreateEnvironment();
        FreeMemory.ReturnLargeAtOnce();
        if (options.Provider == ExecutionProvider.Cpu)
        {
            return new ExecutionDevice("cpu", options);
        }

        try
        {
            var device = options.ProviderLibrary is { Length: > 0 } library
                ? new ExecutionDevice("cuda", options, [Register(library, options.DeviceId)])
                : BuiltIn(options);
            device.Try();
            return device;
        }
        catch (ExecutionProviderException e)
        {
            if (options.Provider == ExecutionProvider.Cuda)
            {
                throw;
            }

            LogFallBack(logger, e.Message);
            return new ExecutionDevice("cpu", options);
        }
    }

    /// <summary>
    /// New options of a session: the thread count always set, this device. Several threads spin for a short while after a run, since waking them costs as much as a
    /// short text; after that an idle server uses no processor time.
    /// </summary>
    /// <param name="threads">Threads of a run, the caller's own included.</param>
    /// <param name="optimize">False for a graph that was optimized before.</param>
    public SessionOptions CreateSessionOptions(int threads, bool optimize = true)
    {
        var session = new SessionOptions
        {
            IntraOpNumThreads = threads,
            InterOpNumThreads = 1,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            GraphOptimizationLevel = optimize ? GraphOptimizationLevel.ORT_ENABLE_ALL : GraphOptimizationLevel.ORT_DISABLE_ALL,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL, // failures come as exceptions; the server logs them itself
        };
        session.AddSessionConfigEntry("session.intra_op.allow_spinning", threads > 1 ? "1" : "0");
        session.AddSessionConfigEntry("session.inter_op.allow_spinning", "0");
        session.AddSessionConfigEntry("session.x64quantprecision", "1"); // without it int8 products overflow on processors without VNNI; no effect on others
        if (threads > 1)
        {
            session.AddSessionConfigEntry("session.intra_op.spin_duration_us", SpinMicroseconds);
        }

        if (!IsGpu)
        {
            return session;
        }

        try
        {
            if (devices is not null)
            {
                session.AppendExecutionProvider(OrtEnv.Instance(), devices, CudaOptions());
            }
            else
            {
                using var cuda = new OrtCUDAProviderOptions();
                cuda.UpdateOptions(new Dictionary<string, string>(CudaOptions()) { ["device_id"] = options.DeviceId.ToString(CultureInfo.InvariantCulture) });
                session.AppendExecutionProvider_CUDA(cuda);
            }

            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    private Dictionary<string, string> CudaOptions()
    {
        var cuda = new Dictionary<string, string>
        {
            ["arena_extend_strategy"] = options.ArenaStrategy == ArenaStrategy.SameAsRequested ? "kSameAsRequested" : "kNextPowerOfTwo",
            ["use_tf32"] = options.Tf32 ? "1" : "0",
            ["enable_cuda_graph"] = "0", // a replay reads the captured run's inputs, of one shape at one address: batches have neither
        };
        if (options.MemoryLimit > 0)
        {
            cuda["gpu_mem_limit"] = options.MemoryLimit.ToString(CultureInfo.InvariantCulture);
        }

        return cuda;
    }

    private static void CreateEnvironment()
    {
        lock (Registering)
        {
            if (!OrtEnv.IsCreated)
            {
                var environment = new EnvironmentCreationOptions { logId = "InferenceServer", logLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
                OrtEnv.CreateInstanceWithOptions(ref environment);
            }
        }
    }

    private static ExecutionDevice BuiltIn(ExecutionOptions options) =>
        OrtEnv.Instance().GetAvailableProviders().Contains(CudaProvider)
            ? new ExecutionDevice("cuda", options)
            : throw new ExecutionProviderException("CUDA is not in this build, which has the CPU package of ONNX Runtime; build with -p:OnnxRuntime=Gpu, or set Execution:ProviderLibrary to a CUDA provider library, or use Execution:Provider=cpu.");

    // Registers the library (once in a process) and returns the device; every way this fails ends in one line.
    private static OrtEpDevice Register(string library, int deviceId)
    {
        var path = Path.GetFullPath(library);
        CheckFile(library, path);
        lock (Registering)
        {
            if (registered is not null && registered != path)
            {
                throw Refused(library, "another provider library is registered in this process", "restart the server to change it");
            }

            if (registered is null)
            {
                try
                {
                    OrtEnv.Instance().RegisterExecutionProviderLibrary(Registration, path);
                    registered = path;
                }
                catch (Exception e) when (e is OnnxRuntimeException or EntryPointNotFoundException or DllNotFoundException)
                {
                    throw Explain(library, e);
                }
            }
        }

        var gpus = OrtEnv.Instance().GetEpDevices().Where(d => d.EpName == CudaProvider).ToList();
        return gpus.Count == 0
            ? throw Refused(library, "it was loaded, but it finds no NVIDIA GPU", "check the driver with nvidia-smi (a container needs --gpus all), or use Execution:Provider=cpu")
            : deviceId >= 0 && deviceId < gpus.Count
                ? gpus[deviceId]
                : throw new ExecutionProviderException($"Execution:DeviceId is {deviceId}, but there {(gpus.Count == 1 ? "is 1 GPU" : $"are {gpus.Count} GPUs")}; set it from 0 to {gpus.Count - 1}.");
    }

    private static void CheckFile(string library, string path)
    {
        if (!File.Exists(path))
        {
            throw Refused(library, Directory.Exists(path) ? "it is a folder" : "there is no such file", "set the path of libonnxruntime_providers_cuda.so, or use Execution:Provider=cpu");
        }

        Span<byte> head = stackalloc byte[20];
        try
        {
            using var stream = File.OpenRead(path);
            var read = stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
            if (OperatingSystem.IsLinux() && (read < head.Length || !head.StartsWith("\u007fELF"u8)))
            {
                throw Refused(library, "the file is no shared library", "set the path of libonnxruntime_providers_cuda.so (a Git LFS pointer or a broken download looks like this)");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Refused(library, "the file cannot be read", "check its permissions", e);
        }
    }

    private static ExecutionProviderException Explain(string library, Exception e)
    {
        var text = e.Message;
        var missing = MissingLibrary().Match(text);
        if (missing.Success && !library.EndsWith(missing.Groups[1].Value, StringComparison.Ordinal))
        {
            var name = missing.Groups[1].Value;
            return name.StartsWith("libcuda.so", StringComparison.Ordinal)
                ? Refused(library, $"the NVIDIA driver's {name} is missing", "install the NVIDIA driver (a container needs --gpus all), or use Execution:Provider=cpu", e)
                : Refused(library, $"the library {name}, which it needs, is not found", "install the CUDA and cuDNN version that it was built for and add their folder to LD_LIBRARY_PATH, or use Execution:Provider=cpu", e);
        }

        if (text.Contains("CreateEpFactories", StringComparison.Ordinal))
        {
            return Refused(library, $"it is no execution provider for ONNX Runtime {OrtEnv.Instance().GetVersionString()}", "take libonnxruntime_providers_cuda.so of exactly that version", e);
        }

        if (text.Contains("undefined symbol", StringComparison.Ordinal) || text.Contains("version `", StringComparison.Ordinal))
        {
            return Refused(library, $"it does not fit the CUDA libraries of this machine or ONNX Runtime {OrtEnv.Instance().GetVersionString()}", "install the CUDA version that it was built for, and take the library of exactly that ONNX Runtime version", e);
        }

        if (text.Contains("API version", StringComparison.OrdinalIgnoreCase) || text.Contains("ORT version", StringComparison.OrdinalIgnoreCase))
        {
            return Refused(library, $"it was built for another version of ONNX Runtime than {OrtEnv.Instance().GetVersionString()}", "take libonnxruntime_providers_cuda.so of exactly that version", e);
        }

        return Refused(library, $"ONNX Runtime {OrtEnv.Instance().GetVersionString()} cannot register it: {NativeMessage.Short(e)}", "take libonnxruntime_providers_cuda.so of exactly that version and check its CUDA libraries with ldd", e);
    }

    private static ExecutionProviderException Refused(string library, string cause, string remedy, Exception? inner = null) =>
        new($"Execution:ProviderLibrary '{library}': {cause}; {remedy}.", inner);

    // Runs one tiny graph, because a provider may load and still find no device.
    private void Try()
    {
        try
        {
            using var session = CreateSessionOptions(1);
            using var probe = new InferenceSession(ProbeGraph.Bytes, session);
            using var run = new RunOptions();
            using var x = OrtValue.CreateTensorValueFromMemory([1f, 2f], [2]);
            using var y = probe.Run(run, ["x"], [x], ["y"]);
            if (y[0].GetTensorDataAsSpan<float>()[1] != 4f)
            {
                throw new ExecutionProviderException("The GPU computes a wrong result; check the driver and the CUDA version, or use Execution:Provider=cpu.");
            }
        }
        catch (Exception e) when (e is OnnxRuntimeException or EntryPointNotFoundException or DllNotFoundException)
        {
            var missing = MissingLibrary().Match(e.Message);
            throw new ExecutionProviderException(missing.Success
                ? $"CUDA cannot be used: the library {missing.Groups[1].Value} is not found; install the CUDA and cuDNN version of this ONNX Runtime ({OrtEnv.Instance().GetVersionString()}) and the NVIDIA driver, or use Execution:Provider=cpu."
                : $"CUDA cannot be used: {NativeMessage.Short(e)}; check the driver with nvidia-smi, Execution:DeviceId and the GPU's free memory, or use Execution:Provider=cpu.", e);
        }
    }

    [System.Text.RegularExpressions.GeneratedRegex(@"(lib[\w.+-]+\.so(?:\.\d+)*): cannot open shared object file")]
    private static partial System.Text.RegularExpressions.Regex MissingLibrary();

    [LoggerMessage(EventIds.Execution, LogLevel.Warning, "Running on the CPU, since Execution:Provider is auto: {Reason}")]
    private static partial void LogFallBack(ILogger logger, string reason);
}
