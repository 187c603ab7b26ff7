namespace InferenceServer.Server.Tests;

/// <summary>A server on the demo models, one for all tests that only ask it.</summary>
public sealed class DemoServer : IAsyncLifetime
{
    /// <summary>Limits small enough to be passed by a test.</summary>
    public static readonly IReadOnlyDictionary<string, string?> Limits = new Dictionary<string, string?>
    {
        ["Limits__MaxBodyBytes"] = "1048576",
        ["Limits__MaxAnswerBytes"] = "4194304",
    };

    /// <summary>The process.</summary>
    public ServerProcess Process { get; private set; } = null!;

    /// <summary>Speaks to it.</summary>
    public HttpClient Client => Process.Client;

    /// <inheritdoc/>
    public async ValueTask InitializeAsync() => Process = await ServerProcess.StartAsync(Repository.Models, Limits);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => Process.DisposeAsync();
}

/// <summary>A server on some folders of the shared test models, one for all tests that only ask it.</summary>
public sealed class ZooServer : IAsyncLifetime
{
    /// <summary>The folders it serves: one or two of each task.</summary>
    public static readonly string[] Folders =
    [
        "bert-fill-mask-eager", "bert-embed-sdpa", "bert-embed-cls-dense", "bert-classify", "bert-classify-multilabel", "bert-regression", "bert-external-data",
        "bert-ner", "bert-qa", "bert-nli-zero-shot", "bert-rerank", "distilbert-classify", "roberta-fill-mask", "gpt2-with-past", "qwen2-with-past", "bert-fused-ort",
    ];

    private readonly TemporaryFolder models = new();
    private ServerProcess? process;

    /// <summary>Speaks to it; skips the test when the shared models are absent.</summary>
    public HttpClient Client => Process.Client;

    /// <summary>The process; skips the test when the shared models are absent.</summary>
    public ServerProcess Process
    {
        get
        {
            Repository.Shared("zoo");
            return process!;
        }
    }

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        if (Repository.SharedRoot is not { } shared || !Directory.Exists(Path.Combine(shared, "zoo")))
        {
            return;
        }

        foreach (var folder in Folders)
        {
            TemporaryFolder.Copy(Path.Combine(shared, "zoo", folder), Path.Combine(models.Path, folder), file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
        }

        process = await ServerProcess.StartAsync(models.Path);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (process is not null)
        {
            await process.DisposeAsync();
        }

        models.Dispose();
    }
}

/// <summary>A folder that is gone after the test.</summary>
public sealed class TemporaryFolder : IDisposable
{
    /// <summary>Its path.</summary>
    public string Path { get; } = Directory.CreateTempSubdirectory("inference-server-test-").FullName;

    /// <summary>Copies a folder with all below it.</summary>
    public static void Copy(string from, string to, Func<string, bool>? take = null)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.EnumerateFiles(from))
        {
            if (take?.Invoke(file) ?? true)
            {
                var copy = System.IO.Path.Combine(to, System.IO.Path.GetFileName(file));
                File.Copy(file, copy, overwrite: true);
                if (!OperatingSystem.IsWindows())
                {
                    File.SetUnixFileMode(copy, UnixFileMode.UserRead | UnixFileMode.UserWrite);
                }
            }
        }

        foreach (var folder in Directory.EnumerateDirectories(from))
        {
            Copy(folder, System.IO.Path.Combine(to, System.IO.Path.GetFileName(folder)), take);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>The tests that share the two servers; one after the other, so that the machine's cores go to the server.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ServerCollection : ICollectionFixture<DemoServer>, ICollectionFixture<ZooServer>
{
    /// <summary>Its name.</summary>
    public const string Name = "server";
}
