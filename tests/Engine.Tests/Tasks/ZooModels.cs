using System.Text.Json;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tests.Tasks;
using Xunit;

[assembly: AssemblyFixture(typeof(ZooModels))]

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>Every folder of the zoo and the demo models, loaded once for all tests that ask for it.</summary>
public sealed class ZooModels : IAsyncLifetime
{
    private readonly Lazy<Task<Dictionary<string, ModelStatus>>> entries;
    private readonly List<ModelRegistry> loaders = [];

    public ZooModels() => entries = new(LoadAll);

    /// <summary>The ready model of a folder; the test fails with the reason when it could not be loaded.</summary>
    public async Task<Model> Get(string id)
    {
        var entry = (await entries.Value)[id];
        Assert.True(entry.State == ModelState.Ready, $"{id}: {entry.State} {entry.Reason}");
        return entry.Model!;
    }

    /// <summary>What became of a folder.</summary>
    public async Task<ModelStatus> Entry(string id) => (await entries.Value)[id];

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        foreach (var loader in loaders)
        {
            await loader.DisposeAsync();
        }
    }

    /// <summary>Loads one folder with another file than its default.</summary>
    public static async Task<ModelRegistry> LoadVariant(string folder, string file)
    {
        var loader = new ModelRegistry(Options(TemporaryFolder.LinkTo(Path.Combine(TestData.Zoo, folder))) with { Models = new Dictionary<string, ModelSettings> { [folder] = new() { File = file } } });
        await loader.LoadAllAsync();
        return loader;
    }

    private static LoadingOptions Options(string directory) => new() { Directory = directory, Execution = new ExecutionOptions { Workers = 1, IntraOpThreads = 1 } };

    private async Task<Dictionary<string, ModelStatus>> LoadAll()
    {
        var all = new Dictionary<string, ModelStatus>(StringComparer.Ordinal);
        foreach (var directory in new[] { TestData.Zoo, Repository.Models })
        {
            var loader = new ModelRegistry(Options(directory));
            loaders.Add(loader);
            await loader.LoadAllAsync();
            foreach (var entry in loader.Models.Select(m => m.Status))
            {
                all[entry.Id] = entry;
            }
        }

        return all;
    }
}

/// <summary>expected.json and expected.safetensors of a folder.</summary>
internal sealed class Expected
{
    private readonly SafeTensors tensors;

    private Expected(JsonElement root, SafeTensors tensors)
    {
        Root = root;
        this.tensors = tensors;
    }

    public JsonElement Root { get; }

    public IReadOnlyList<JsonElement> Cases => [.. Root.GetProperty("cases").EnumerateArray()];

    /// <summary>Names of the folders of the zoo, without those that are encoder-decoders.</summary>
    public static IReadOnlyList<string> Folders => [.. Directory.GetDirectories(TestData.Zoo)
        .Where(folder => File.Exists(Path.Combine(folder, "expected.json")))
        .Select(folder => Path.GetFileName(folder)!)
        .Order(StringComparer.Ordinal)];

    public static Expected Of(string folder)
    {
        var path = Path.Combine(Directory.Exists(Path.Combine(TestData.Zoo, folder)) ? TestData.Zoo : Repository.Models, folder);
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(path, "expected.json")));
        return new Expected(json.RootElement.Clone(), SafeTensors.Open(Path.Combine(path, "expected.safetensors"), "expected.safetensors"));
    }

    public float[]? Tensor(string name) => tensors.Read(name)?.Values;
}
