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

/// <summary>A server on some folders of the zoo, one for all tests that only ask it.</summary>
public sealed class ZooServer : IAsyncLifetime
{
    /// <summary>The folders it serves: one or two of each task.</summary>
    public static readonly string[] Folders =
    [
        "bert-fill-mask-eager", "bert-embed-sdpa", "bert-embed-cls-dense", "bert-classify", "bert-classify-multilabel", "bert-regression", "bert-external-data",
        "bert-ner", "bert-qa", "bert-nli-zero-shot", "bert-rerank", "distilbert-classify", "roberta-fill-mask", "gpt2-with-past", "qwen2-with-past", "llama-chat", "bert-fused-ort",
    ];

    private readonly TemporaryFolder models = new();

    /// <summary>The process.</summary>
    public ServerProcess Process { get; private set; } = null!;

    /// <summary>Speaks to it.</summary>
    public HttpClient Client => Process.Client;

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        foreach (var folder in Folders)
        {
            TemporaryFolder.Copy(Path.Combine(TestData.Zoo, folder), Path.Combine(models.Path, folder), file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
        }

        Process = await ServerProcess.StartAsync(models.Path);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Process.DisposeAsync();
        models.Dispose();
    }
}

/// <summary>The tests that share the two servers; one after the other, so that the machine's cores go to the server.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ServerCollection : ICollectionFixture<DemoServer>, ICollectionFixture<ZooServer>
{
    /// <summary>Its name.</summary>
    public const string Name = "server";
}
