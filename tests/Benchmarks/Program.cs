using InferenceServer.Benchmarks;

return args switch
{
    [] or ["server", ..] => await ServerBenchmark.RunAsync(args.Length > 1 ? args[1..] : []),
    ["tokenizers"] => TokenizerBenchmark.Run(),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("""
        dotnet run -c Release --project tests/Benchmarks [-- server [rounds]]    the server over HTTP beside raw ONNX Runtime
        dotnet run -c Release --project tests/Benchmarks -- tokenizers           tokenizers, one thread, beside the reference's Rust library
        """);
    return 2;
}
