using System.Text.Json;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>The cases of a folder's expected.json and expected.safetensors.</summary>
internal sealed class ReferenceCases
{
    private readonly SafeTensors tensors;

    public ReferenceCases(string folder)
    {
        using var json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "expected.json")));
        Root = json.RootElement.Clone();
        tensors = SafeTensors.Open(Path.Combine(folder, "expected.safetensors"), "expected.safetensors");
        Cases = [.. Root.GetProperty("cases").EnumerateArray().Select((one, i) => new ReferenceCase(
            $"case{i}",
            one.TryGetProperty("text", out var text) ? text.GetString() : null,
            one.TryGetProperty("text_pair", out var pair) ? pair.GetString() : null,
            [.. one.GetProperty("input_ids").EnumerateArray().Select(id => id.GetInt32())])
        {
            Target = one.TryGetProperty("decoder_input_ids", out var target) ? [.. target.EnumerateArray().Select(id => id.GetInt32())] : null,
        })];
    }

    public JsonElement Root { get; }

    public bool Has(string tensor) => tensors.Names.Contains(tensor);

    public int[] Shape(string tensor) => tensors.Read(tensor)!.Value.Shape;

    public float[] Data(string tensor) => tensors.Read(tensor)!.Value.Values;

    public IReadOnlyList<ReferenceCase> Cases { get; }

    /// <summary>The model of one folder and its loader, which the test disposes of.</summary>
    public static async Task<(ModelRegistry Loader, Model Model)> Load(string folder)
    {
        var options = new LoadingOptions { Directory = TemporaryFolder.LinkTo(folder), Execution = new ExecutionOptions { Workers = 1, IntraOpThreads = 1 } };
        var loader = new ModelRegistry(options);
        await loader.LoadAllAsync();
        var entry = loader.Models.Single().Status;
        return (loader, entry.Model ?? throw new InvalidOperationException($"{entry.Id}: {entry.State} {entry.Reason}"));
    }

    /// <summary>The largest difference of two lists, infinite when their lengths differ.</summary>
    public static float Difference(IReadOnlyList<float> a, IReadOnlyList<float> b)
    {
        if (a.Count != b.Count)
        {
            return float.PositiveInfinity;
        }

        var largest = 0f;
        for (var i = 0; i < a.Count; i++)
        {
            largest = float.IsNaN(a[i]) ? float.PositiveInfinity : Math.Max(largest, Math.Abs(a[i] - b[i]));
        }

        return largest;
    }
}

internal sealed record ReferenceCase(string Name, string? Text, string? Pair, int[] InputIds)
{
    /// <summary>The decoder's input ids, of an encoder-decoder.</summary>
    public int[]? Target { get; init; }
}
