using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Attention;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Attention;

/// <summary>Attention of every reference folder equals that of the eager reference: alone, and among 64 requests of other lengths.</summary>
public sealed class AttentionParityTests(ITestOutputHelper output)
{
    /// <summary>The folders, by name, so that a missing one shows in the list of tests.</summary>
    public static TheoryData<string> Folders =>
    [
        .. ReferenceFolders(Repository.Models).Select(name => $"demo-models/{name}"),
        "models/all-MiniLM-L6-v2",
        .. ReferenceFolders(TestData.Zoo).Select(name => $"zoo/{name}"),
    ];

    [Fact]
    public void No_folder_is_missing() => Checks.AtLeast(57, Folders.Count, "folders");

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Probabilities_equal_the_reference(string name)
    {
        var folder = TestData.ModelFolder(name);
        var reference = new ReferenceCases(folder);
        var (loader, model) = await ReferenceCases.Load(folder);
        await using var _ = loader;
        var key = model.Manifest.Files.IsEncoderDecoder ? "encoder_attentions" : "attentions";
        var cases = reference.Cases.Where(one => one.Text is { Length: > 0 } && reference.Has($"{one.Name}.{key}")).ToList();
        Checks.AtLeast(2, cases.Count, "cases");
        if (model.Graph.Attention.Count == 0)
        {
            output.WriteLine($"{name}: no attention in the graph: {model.Graph.AttentionUnavailable}");
            Assert.NotNull(model.Graph.AttentionUnavailable);
            Assert.Equal(0, reference.Root.GetProperty("attention_in_graph")[0].GetProperty("tensors").GetArrayLength());
            return;
        }

        var tolerance = Tolerance(reference, model);
        var worst = 0f;
        foreach (var one in cases)
        {
            worst = Math.Max(worst, Check(reference, one, key, await Run(model, one), tolerance));
        }

        if (!model.Graph.QuantizesActivations)
        {
            foreach (var (one, result) in await Task.WhenAll(Enumerable.Range(0, 64).Select(i => Task.Run(async () => (cases[i % cases.Count], await Run(model, cases[i % cases.Count]))))))
            {
                worst = Math.Max(worst, Check(reference, one, key, result, tolerance));
            }
        }

        output.WriteLine($"{name}: {cases.Count} cases, {model.Graph.Attention.Count} layers; largest difference {worst:e1}");
    }

    /// <summary>Folders of encoder-decoders: in four, three and two files, and merged.</summary>
    public static TheoryData<string> Translators => [.. Folders.Select(row => row.Data).Where(name => File.ReadAllText(Path.Combine(TestData.ModelFolder(name), "expected.json")).Contains("decoder_input_ids", StringComparison.Ordinal))];

    [Fact]
    public void No_translator_is_missing() => Checks.AtLeast(4, Translators.Count, "folders");

    [Theory]
    [MemberData(nameof(Translators))]
    public async Task Decoder_and_cross_attention_equal_the_reference(string name)
    {
        var folder = TestData.ModelFolder(name);
        var reference = new ReferenceCases(folder);
        var (loader, model) = await ReferenceCases.Load(folder);
        await using var _ = loader;
        var cases = reference.Cases.Where(one => one.Target is not null && one.Text is { Length: > 0 } && reference.Has($"{one.Name}.cross_attentions")).ToList();
        Checks.AtLeast(2, cases.Count, "cases");
        async Task CompareAsync(ReferenceCase one, AttentionKind kind, string key)
        {
            var result = await new AttentionTask().RunAsync(model, new AttentionRequest { Text = one.Text, TextPair = one.Pair, TargetIds = one.Target, Kind = kind }, new RequestContext());
            Assert.Equal(one.Target, result.Tokens.Select(token => token.Id));
            Assert.Equal(kind == AttentionKind.Cross ? one.InputIds : null, result.KeyTokens?.Select(token => token.Id));
            Assert.Equal(reference.Shape($"{one.Name}.{key}"), result.Shape);
            Assert.InRange(ReferenceCases.Difference(reference.Data($"{one.Name}.{key}"), result.Values), 0, Tolerance(reference, model));
        }

        (ReferenceCase One, AttentionKind Kind, string Key)[] all =
            [.. cases.SelectMany(one => new[] { (one, AttentionKind.Decoder, "decoder_attentions"), (one, AttentionKind.Cross, "cross_attentions") })];
        foreach (var (one, kind, key) in all)
        {
            await CompareAsync(one, kind, key);
        }

        await Task.WhenAll(Enumerable.Range(0, 48).Select(i => Task.Run(() => CompareAsync(all[i % all.Length].One, all[i % all.Length].Kind, all[i % all.Length].Key)))); // beside sources and targets of other lengths
    }

    private static IEnumerable<string> ReferenceFolders(string directory) =>
        Directory.GetDirectories(directory).Where(folder => File.Exists(Path.Combine(folder, "expected.json"))).Select(folder => Path.GetFileName(folder)).Order(StringComparer.Ordinal);

    private static float Tolerance(ReferenceCases reference, Model model)
    {
        var file = Path.GetRelativePath(model.Manifest.Folder, model.Graph.File).Replace('\\', '/');
        return reference.Root.TryGetProperty("tolerance", out var tolerance) && tolerance.TryGetProperty(file, out var of) && of.ValueKind == System.Text.Json.JsonValueKind.Object && of.TryGetProperty("attentions", out var value)
            ? Math.Max(1e-4f, value.GetSingle())
            : 1e-4f;
    }

    private static Task<AttentionResult> Run(Model model, ReferenceCase one) => new AttentionTask().RunAsync(
        model,
        new AttentionRequest { Text = one.Text, TextPair = one.Pair, Kind = model.Manifest.Files.IsEncoderDecoder ? AttentionKind.Encoder : null },
        new RequestContext());

    private static float Check(ReferenceCases reference, ReferenceCase one, string key, AttentionResult result, float tolerance)
    {
        Assert.Equal(one.InputIds, result.Tokens.Select(token => token.Id));
        Assert.Equal(reference.Shape($"{one.Name}.{key}"), result.Shape);
        var difference = ReferenceCases.Difference(reference.Data($"{one.Name}.{key}"), result.Values);
        Assert.True(difference <= tolerance, $"{one.Name}: differs by {difference}");
        return difference;
    }
}
