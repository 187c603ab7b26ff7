using InferenceServer.Benchmarks;
using InferenceServer.Benchmarks.Abuse;
using InferenceServer.Benchmarks.Calm;
using InferenceServer.Benchmarks.Client;
using InferenceServer.Benchmarks.Fuzz;
using InferenceServer.Benchmarks.Generation;
using InferenceServer.Benchmarks.Raw;
using InferenceServer.Benchmarks.Server;

return args switch
{
    [] or ["server", ..] => await ServerBenchmark.RunAsync([.. args.Skip(1)]),
    ["calm", ..] => await CalmBenchmark.RunAsync([.. args.Skip(1)]),
    ["abuse", ..] => await AbuseBenchmark.RunAsync([.. args.Skip(1)]),
    ["generation", ..] => await GenerationBenchmark.RunAsync([.. args.Skip(1)]),
    ["fuzz", ..] => await FuzzBenchmark.RunAsync([.. args.Skip(1)]),
    ["tokenizers"] => TokenizerBenchmark.Run(),
    ["client", var options] => await LoadGenerator.RunAsync(options), // processes that the others start
    ["raw", var arguments] => RawProcess.Run(arguments),
    ["archives", var folder] => Archives(folder),
    _ => Usage(),
};

// The archives of the tests' data, packed anew.
static int Archives(string folder)
{
    foreach (var (from, archive) in new[] { ("zoo", TestData.ZooArchive), ("goldens", TestData.GoldensArchive) })
    {
        var files = TestArchive.Create(Path.Combine(folder, from), archive);
        Console.WriteLine($"{Path.GetRelativePath(Environment.CurrentDirectory, archive)}: {files} files, {new FileInfo(archive).Length / 1048576.0:0.0} MiB");
    }

    return 0;
}

static int Usage()
{
    Console.Error.WriteLine($"""
        dotnet run -c Release --project tests/Benchmarks [-- server [rounds] [scenario filter]]       the server over HTTP beside raw ONNX Runtime
        dotnet run -c Release --project tests/Benchmarks -- calm [case] [--seconds N] [--retry-share N]    the server under overload, many connections, bulk work, lost clients; memory
        dotnet run -c Release --project tests/Benchmarks -- abuse [case]                              what careless and hostile clients can make the server hold
        dotnet run -c Release --project tests/Benchmarks -- generation [soak [seconds] [connections]] generated text over HTTP beside a raw loop of ONNX Runtime; random requests at once
        dotnet run -c Release --project tests/Benchmarks -- fuzz bodies|files|graphs [number] [first] changed bodies to every endpoint, changed files and graphs of models
        dotnet run -c Release --project tests/Benchmarks -- tokenizers                                tokenizers, one thread, beside the reference's Rust library

        dotnet run -c Release --project tests/Benchmarks -- archives <folder>                         packs <folder>/zoo and <folder>/goldens into the archives of the tests

        Cases of calm: {string.Join(", ", CalmBenchmark.CaseNames)}.
        Cases of abuse: {string.Join(", ", AbuseBenchmark.CaseNames)}.
        """);
    return 2;
}
