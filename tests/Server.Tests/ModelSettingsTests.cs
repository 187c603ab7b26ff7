using InferenceServer.Configuration;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tokenization;
using Microsoft.Extensions.Configuration;

namespace InferenceServer.Server.Tests;

/// <summary>The settings of single models: every one of them, the ways to write an id, and what is told of a name that fits none or several.</summary>
public sealed class ModelSettingsTests
{
    private static readonly string[] Ids = ["all-MiniLM-L6-v2", "bge-small-en-v1.5", "org--name", "a-b", "a.b", "My_Model", "café"];

    [Fact]
    public void Every_setting_is_read()
    {
        var settings = Read(
            out var errors,
            out var warnings,
            ("a-b:File", "onnx/x.onnx"),
            ("a-b:Pooling", "cls+max"),
            ("a-b:Normalize", "false"),
            ("a-b:Prompts:query", "query: "),
            ("a-b:Prompts:none", ""),
            ("a-b:MaxTokens", "77"),
            ("a-b:Output", "sentence_embedding"),
            ("a-b:TokenizerConfig", "follow"),
            ("a-b:RerankTemplate", "{query} {document}"),
            ("a-b:EntailmentLabel", "LABEL_2"),
            ("a-b:AccuracyLevel", "4"),
            ("a-b:Inputs:task_id", "4"));
        Assert.Empty(errors);
        Assert.Empty(warnings);
        var own = Assert.Single(settings).Value;
        Assert.Equal(("onnx/x.onnx", "cls+max", false, 77), (own.File, own.Pooling, own.Normalize, own.MaxTokens));
        Assert.Equal(("sentence_embedding", TokenizerConfigUse.Follow, "{query} {document}", "LABEL_2"), (own.Output, own.TokenizerConfig, own.RerankTemplate, own.EntailmentLabel));
        Assert.Equal(("query: ", "", 2), (own.Prompts["query"], own.Prompts["none"], own.Prompts.Count));
        Assert.Equal(4, Assert.Single(own.Inputs).Value);
        Assert.Equal(("task_id", 4), (own.Inputs.Keys.Single(), own.AccuracyLevel));
    }

    [Theory]
    [InlineData("all-MiniLM-L6-v2", "all-MiniLM-L6-v2")]
    [InlineData("all_MiniLM_L6_v2", "all-MiniLM-L6-v2")]
    [InlineData("ALL_MINILM_L6_V2", "all-MiniLM-L6-v2")]
    [InlineData("bge_small_en_v1_5", "bge-small-en-v1.5")]
    [InlineData("bge-small_en-v1_5", "bge-small-en-v1.5")]
    [InlineData("org:name", "org--name")] // what the configuration makes of Models__org__name__File
    [InlineData("My_Model", "My_Model")]
    [InlineData("caf_", "café")]
    [InlineData("a.b", "a.b")]
    public void An_id_is_written_as_it_is_or_with_underscores(string written, string id)
    {
        foreach (var setting in (string[])["File", "Prompts:query", "Prompts:File"])
        {
            var settings = Read(out var errors, out var warnings, ($"{written}:{setting}", "x"));
            Assert.Empty(errors);
            Assert.Empty(warnings);
            Assert.Equal(id, Assert.Single(settings).Key);
        }
    }

    [Fact]
    public void A_name_that_fits_several_or_none_is_told_and_has_no_effect()
    {
        var settings = Read(out var errors, out var warnings, ("a_b:File", "x"), ("a_b:Pooling", "cls"), ("all_MiniLM_L6:File", "x"), ("bge_small_en_v1_5:File", "y"));
        Assert.Empty(errors);
        Assert.Equal("bge-small-en-v1.5", Assert.Single(settings).Key);
        Assert.Equal(2, warnings.Count);
        Assert.Contains(warnings, w => w.Contains("Models:a_b fit several models (a-b, a.b)", StringComparison.Ordinal));
        Assert.Contains(warnings, w => w.Contains("Models:all_MiniLM_L6 fit no model", StringComparison.Ordinal) && w.Contains("Did you mean 'all-MiniLM-L6-v2'?", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("a-b:Poling", "cls", "Did you mean 'Pooling'?")]
    [InlineData("a-b:Normalize", "yes", "true or false")]
    [InlineData("a-b:MaxTokens", "0", "from 1")]
    [InlineData("a-b:TokenizerConfig", "both", "one of tokenizer, follow")]
    [InlineData("a-b:Inputs:task_id", "four", "a whole number")]
    [InlineData("nowhere:MaxTokens", "many", "a whole number")]
    public void A_wrong_value_is_an_error(string key, string value, string says)
    {
        _ = Read(out var errors, out _, (key, value));
        var error = Assert.Single(errors);
        Assert.Contains("Models:" + key, error, StringComparison.Ordinal);
        Assert.Contains(says, error, StringComparison.Ordinal);
    }

    [Fact]
    public void Of_two_ways_to_write_an_id_the_later_source_counts()
    {
        foreach (var (first, second) in ((string, string)[])[("a-b", "A_B"), ("my_model", "My_Model")])
        {
            var ids = (string[])["a-b", "My_Model"];
            foreach (var (one, two) in ((string, string)[])[(first, second), (second, first)])
            {
                var configuration = new ConfigurationBuilder()
                    .AddInMemoryCollection([new($"Models:{one}:File", "early"), new($"Models:{one}:Pooling", "cls")])
                    .AddInMemoryCollection([new($"Models:{two}:File", "late")])
                    .Build();
                var settings = new ModelSettingsReader(configuration, new SettingsReader(configuration), ids).Read();
                Assert.Equal(("late", "cls"), (Assert.Single(settings).Value.File, settings.Values.Single().Pooling));
            }
        }
    }

    [Fact]
    public async Task The_server_takes_them_from_the_environment_and_inspect_says_the_same()
    {
        using var models = new TemporaryFolder();
        var folder = Path.Combine(models.Path, "demo-language");
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), folder);
        File.Copy(Path.Combine(folder, "onnx", "model.onnx"), Path.Combine(folder, "onnx", "other.onnx"));
        var environment = new Dictionary<string, string?> { ["Models__demo_language__File"] = "onnx/other.onnx", ["Models__demo_langage__Pooling"] = "cls" };
        await using var server = await ServerProcess.StartAsync(models.Path, environment);
        Assert.Equal("onnx/other.onnx", (string?)(await server.Client.ReadAsync("/api/models/demo-language")).Ok["file"]);
        Assert.Contains("Models:demo_langage fit no model and have no effect. Did you mean 'demo-language'?", server.Log, StringComparison.Ordinal);

        foreach (var (arguments, variables) in ((string[], Dictionary<string, string?>?)[])
        [
            ([], new() { ["Models__demo_language__File"] = "onnx/absent.onnx" }),
            (["--Models:demo-language:File", "onnx/absent.onnx"], null),
            (["--Models:demo-language:File=onnx/absent.onnx"], null),
        ])
        {
            var (code, output) = await ServerProcess.RunAsync(["inspect", folder, .. arguments], variables);
            Assert.Equal(1, code);
            Assert.Contains("onnx/absent.onnx", output, StringComparison.Ordinal);
        }

        Directory.CreateDirectory(Path.Combine(models.Path, "demo.language"));
        await File.WriteAllTextAsync(Path.Combine(models.Path, "demo.language", "config.json"), "{}", TestContext.Current.CancellationToken);
        var (ambiguous, told) = await ServerProcess.RunAsync(["inspect", folder], environment);
        Assert.Equal(1, ambiguous);
        Assert.Contains("Models:demo_language fit several models (demo-language, demo.language)", told, StringComparison.Ordinal);

        var (refused, said) = await ServerProcess.RunAsync(["inspect", folder, "--Models:demo-language:Fil", "x"]);
        Assert.Equal(1, refused);
        Assert.Contains("Did you mean 'File'?", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_hub_cache_is_a_models_directory()
    {
        using var cache = new TemporaryFolder();
        var repository = Path.Combine(cache.Path, "models--acme--demo-language");
        var snapshot = Path.Combine(repository, "snapshots", "0123abcd");
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), snapshot);
        Directory.CreateDirectory(Path.Combine(repository, "snapshots", "9999aaaa"));
        Directory.CreateDirectory(Path.Combine(repository, "refs"));
        await File.WriteAllTextAsync(Path.Combine(repository, "refs", "main"), "0123abcd\n", TestContext.Current.CancellationToken);
        var blob = Path.Combine(Directory.CreateDirectory(Path.Combine(repository, "blobs")).FullName, "f00d");
        File.Move(Path.Combine(snapshot, "onnx", "model.onnx"), blob);
        File.CreateSymbolicLink(Path.Combine(snapshot, "onnx", "model.onnx"), Path.Combine("..", "..", "..", "blobs", "f00d"));
        Directory.CreateDirectory(Path.Combine(cache.Path, "models--acme--gone", "snapshots"));
        Directory.CreateDirectory(Path.Combine(cache.Path, ".locks"));

        await using var server = await ServerProcess.StartAsync(cache.Path, new Dictionary<string, string?> { ["Models__acme__demo_language__File"] = "onnx/model.onnx" });
        var models = (await server.Client.ReadAsync("/api/models")).Ok["models"]!.AsArray();
        Assert.Equal(("acme--demo-language", "ready"), ((string?)Assert.Single(models)!["id"], (string?)models[0]!["state"]));
        Assert.Equal(200, (await server.Client.PostAsync("/api/models/acme--demo-language/predictions", """{"inputs": "O gato dorme."}""")).Status);
        Assert.Contains("models--acme--gone is skipped: its refs/main names no snapshot", server.Log, StringComparison.Ordinal);
        Assert.DoesNotContain("fit no model", server.Log, StringComparison.Ordinal);

        var (code, output) = await ServerProcess.RunAsync(["inspect", repository]);
        Assert.Equal(0, code);
        Assert.Contains("No problem", output, StringComparison.Ordinal);
    }

    private static IReadOnlyDictionary<string, ModelSettings> Read(out IReadOnlyList<string> errors, out IReadOnlyList<string> warnings, params (string Key, string? Value)[] values)
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(values.Select(v => KeyValuePair.Create("Models:" + v.Key, v.Value))).Build();
        var reader = new SettingsReader(configuration);
        var models = new ModelSettingsReader(configuration, reader, Ids);
        var settings = models.Read();
        (errors, warnings) = (reader.Errors, models.Warnings);
        return settings;
    }
}
