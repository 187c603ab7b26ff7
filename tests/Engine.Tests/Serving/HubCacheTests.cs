using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks.Attention;
using InferenceServer.Engine.Tests.Tasks;
using Xunit;

namespace InferenceServer.Engine.Tests.Serving;

/// <summary>A folder as the hub's cache has it, every file a link into the blobs, weights in a file of their own: served whole, attention too.</summary>
public sealed class HubCacheTests
{
    [Theory]
    [InlineData("", "org--external")]
    [InlineData("models--org--external/snapshots", "abc123")]
    public async Task Attention_is_read_through_links_into_the_blobs(string below, string id)
    {
        using var cache = new TemporaryFolder();
        var repository = Path.Combine(cache.Path, "models--org--external");
        var snapshot = Directory.CreateDirectory(Path.Combine(repository, "snapshots", "abc123")).FullName;
        var blobs = Directory.CreateDirectory(Path.Combine(repository, "blobs")).FullName;
        foreach (var file in Directory.GetFiles(Path.Combine(TestData.Zoo, "bert-external-data")))
        {
            var blob = $"blob{Directory.GetFiles(blobs).Length}";
            File.Copy(file, Path.Combine(blobs, blob));
            File.CreateSymbolicLink(Path.Combine(snapshot, Path.GetFileName(file)), Path.Combine("..", "..", "blobs", blob));
        }

        await using var registry = new ModelRegistry(new LoadingOptions { Directory = Path.Combine(cache.Path, below), Execution = new ExecutionOptions { Workers = 1, IntraOpThreads = 1 } });
        await registry.LoadAllAsync(TestContext.Current.CancellationToken);
        var status = Assert.Single(registry.Models).Status;
        Assert.Equal((id, ModelState.Ready), (status.Id, status.State));
        Assert.Equal(id, status.Model!.Manifest.Id);

        var expected = Expected.Of("bert-external-data");
        var attention = await new AttentionTask().RunAsync(status.Model, new AttentionRequest { Text = expected.Cases[0].GetProperty("text").GetString()! }, new RequestContext());
        var right = expected.Tensor("case0.attentions")!;
        Assert.Equal(right.Length, attention.Values.Length);
        Assert.True(ReferenceCases.Difference(right, attention.Values) < 1e-4);
    }
}
