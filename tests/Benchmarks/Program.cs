using InferenceServer.Benchmarks;
using InferenceServer.Benchmarks.Calm;
using InferenceServer.Benchmarks.Client;
using InferenceServer.Benchmarks.Raw;
using InferenceServer.Benchmarks.Server;

return args switch
{
    [] or ["server", ..] => await ServerBenchmark.RunAsync([.. args.Skip(1)]),
    ["calm", ..] => await CalmBenchmark.RunAsync([.. args.Skip(1)]),
    ["tokenizers"] => TokenizerBenchmark.Run(),
    ["client", var options] => await LoadGenerator.RunAsync(options), // processes that the others start
    ["raw", var arguments] => RawProcess.Run(arguments),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine($"""
        dotnet run -c Release --project tests/Benchmarks [-- server [rounds] [scenario filter]]       the server over HTTP beside raw ONNX Runtime
        dotnet run -c Release --project tests/Benchmarks -- calm [case] [--seconds N] [--retry-share N]    the server under overload, many connections, bulk work, lost clients; memory
        dotnet run -c Release --project tests/Benchmarks -- tokenizers                                tokenizers, one thread, beside the reference's Rust library

        Cases of calm: {string.Join(", ", CalmBenchmark.CaseNames)}.
        """);
    return 2;
}
