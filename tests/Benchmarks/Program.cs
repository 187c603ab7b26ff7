using InferenceServer.Benchmarks;

return args switch
{
    [] or ["server", ..] => await ServerBenchmark.RunAsync(args.Length > 1 ? args[1..] : []),
    ["tokenizers"] => TokenizerBenchmark.Run(),
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
    Console.Error.WriteLine("""
        dotnet run -c Release --project tests/Benchmarks [-- server [rounds]]    the server over HTTP beside raw ONNX Runtime
        dotnet run -c Release --project tests/Benchmarks -- tokenizers           tokenizers, one thread, beside the reference's Rust library
        dotnet run -c Release --project tests/Benchmarks -- archives <folder>    packs <folder>/zoo and <folder>/goldens into the archives of the tests
        """);
    return 2;
}
