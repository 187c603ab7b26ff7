using System.Security.Cryptography;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tests.Scheduling;
using Microsoft.Extensions.Logging;
using Xunit;

namespace InferenceServer.Engine.Tests.Serving;

/// <summary>Folders become models or say why not, side by side.</summary>
public sealed class ModelRegistryTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("models").FullName;
    private readonly Lines lines = new();

    [Fact]
    public async Task Demo_models_are_ready_with_the_limits_that_their_files_name()
    {
        await using var loader = Loader(new LoadingOptions { Directory = Repository.Models, Execution = Cpu });
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        Assert.True(loader.IsReady);
        Assert.All(loader.Models.Select(m => m.Status), e => Assert.True(e.State == ModelState.Ready, $"{e.Id}: {e.Reason}"));
        Assert.Equal(
            [("demo-bert", 256), ("demo-gpt", 256), ("demo-language", 128), ("demo-translator", 64)],
            loader.Models.Select(m => m.Status).Select(e => (e.Id, e.Model!.MaxTokens)));
        Assert.All(loader.Models.Select(m => m.Status), e => Assert.Equal("cpu", e.Provider));
        Assert.All(loader.Models.Select(m => m.Status), e => Assert.InRange(e.LoadTime, TimeSpan.FromTicks(1), TimeSpan.FromMinutes(1)));

        var bert = loader.Get("demo-bert").Status.Model!;
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(bert.Manifest.Files.Main, TestContext.Current.CancellationToken))), await bert.Sha256.Value);
        var values = await bert.Executor.RunOneAsync(new GraphInput(bert.Tokenizer.Encode("a").Ids), bert.Graph.Outputs[0].Name, (_, length) => length);
        Assert.Equal(bert.Tokenizer.Encode("a").Length, values);
    }

    [Fact]
    public async Task Bad_folders_fail_with_their_reason_and_good_ones_serve()
    {
        Copy("good");
        Copy("corrupt", f => File.WriteAllBytes(Graph(f), [0x08, 0x08, 0x3A, 0xFF, 0xFF, 0xFF]));
        Copy("nonsense", f => File.WriteAllText(Graph(f), "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n"));
        Copy("cut", f => Cut(Graph(f)));
        Copy("cut-tokenizer", f => Cut(Path.Combine(f, "tokenizer.json")));
        Copy("no-graph", f => File.Delete(Graph(f)));
        Copy("wrong-config", f => File.WriteAllText(Path.Combine(f, "config.json"), "{"));
        Directory.CreateDirectory(Path.Combine(directory, "empty"));
        Directory.CreateDirectory(Path.Combine(directory, ".cache"));
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(Path.Combine(directory, "scripts")).FullName, "train.py"), "");

        await using var loader = Loader();
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);

        Assert.Equal(["corrupt", "cut", "cut-tokenizer", "good", "no-graph", "nonsense", "wrong-config"], loader.Models.Select(m => m.Status).Select(e => e.Id));
        Assert.True(loader.IsReady);
        Assert.NotNull(loader.Acquire("good"));
        Refused("corrupt", "model.onnx");
        Refused("nonsense", "model.onnx");
        Refused("cut", "model.onnx");
        Refused("cut-tokenizer", "tokenizer.json");
        Refused("no-graph", "ONNX");
        Refused("wrong-config", "config.json");
        Assert.Equal(2, lines.Of(LogLevel.Information).Count(l => l.Contains("skipped", StringComparison.Ordinal)));

        void Refused(string id, string named)
        {
            var entry = loader.Get(id).Status;
            Assert.Equal(ModelState.Failed, entry.State);
            Assert.Null(entry.Model);
            Assert.NotNull(entry.Reason);
            TestContext.Current.TestOutputHelper!.WriteLine($"{id}: {entry.Reason}");
            Assert.Contains(named, entry.Reason, StringComparison.Ordinal);
            Assert.DoesNotContain("unexpected error", entry.Reason, StringComparison.OrdinalIgnoreCase);
            Assert.DoesNotContain(directory, entry.Reason, StringComparison.Ordinal);
            Assert.DoesNotContain("\n", entry.Reason, StringComparison.Ordinal);
            var refused = Assert.Throws<InferenceException>(() => loader.Acquire(id));
            Assert.Equal(ErrorCode.NotLoaded, refused.Code);
            Assert.Contains(entry.Reason, refused.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Where_no_file_says_how_long_a_sequence_may_be_a_limit_is_chosen_and_told()
    {
        var folder = Path.Combine(directory, "endless-t5"); // relative positions: the graph has no table of them
        TemporaryFolder.Copy(TestData.ModelFolder("zoo/t5-small-like"), folder, file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
        var config = Path.Combine(folder, "tokenizer_config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("\"model_max_length\": 128", "\"model_max_length\": 9223372036854775808", StringComparison.Ordinal));

        await using var loader = Loader();
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        var status = loader.Get("endless-t5").Status;
        Assert.True(status.State == ModelState.Ready, status.Reason);
        Assert.Contains(status.Notes, note => note.StartsWith($"No file says how many tokens a sequence may have; {status.Model!.MaxTokens} are allowed.", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_tokenizer_that_gives_ids_the_graph_does_not_have_is_refused_at_the_start()
    {
        // Every id moves beyond the table of the graph.
        Copy("mismatched", f =>
        {
            var path = Path.Combine(f, "tokenizer.json");
            var root = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(path))!;
            var vocabulary = root["model"]!["vocab"]!.AsObject();
            foreach (var (token, id) in vocabulary.ToList())
            {
                vocabulary[token] = id!.GetValue<int>() + 1_000_000;
            }

            foreach (var added in root["added_tokens"]!.AsArray())
            {
                added!["id"] = added["id"]!.GetValue<int>() + 1_000_000;
            }

            root["post_processor"] = null;
            File.WriteAllText(path, root.ToJsonString());
        });
        await using var loader = Loader();
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        var entry = loader.Get("mismatched").Status;
        Assert.Equal(ModelState.Failed, entry.State);
        Assert.Contains("do not belong together", entry.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_file_setting_chooses_and_cannot_leave_the_folder()
    {
        Copy("chosen", f => File.Copy(Graph(f), Path.Combine(f, "other.onnx")));
        Copy("outside");
        var models = new Dictionary<string, ModelSettings> { ["chosen"] = new() { File = "other.onnx" }, ["outside"] = new() { File = "../chosen/onnx/model.onnx" }, ["nowhere"] = new() { File = "model.onnx" } };
        await using var loader = Loader(new LoadingOptions { Directory = directory, Models = models, Execution = Cpu });
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        Assert.EndsWith("other.onnx", loader.Get("chosen").Status.Model!.Manifest.Files.Main, StringComparison.Ordinal);
        Assert.Equal(ModelState.Failed, loader.Get("outside").Status.State);
        Assert.Contains(lines.Of(LogLevel.Warning), l => l.Contains("Models:nowhere", StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_is_set_for_a_model_bounds_its_texts_and_must_fit_it()
    {
        Copy("bounded");
        Copy("wrong");
        var models = new Dictionary<string, ModelSettings> { ["bounded"] = new() { MaxTokens = 7 }, ["wrong"] = new() { Output = "nothing" } };
        await using var loader = Loader(new LoadingOptions { Directory = directory, Models = models, Execution = Cpu });
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        var model = loader.Get("bounded").Status.Model!;
        Assert.Equal((7, "the setting Models:bounded:MaxTokens"), (model.MaxTokens, model.MaxTokensSource));
        var error = Assert.Throws<InferenceException>(() => TextInput.OfIds([.. Enumerable.Repeat(5, 8)]).Prepare(model, new RequestContext()));
        Assert.Contains("at most 7 (the setting Models:bounded:MaxTokens)", error.Message, StringComparison.Ordinal);
        Assert.Contains("Models:wrong:Output", loader.Get("wrong").Status.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_graph_file_that_goes_later_costs_no_answer()
    {
        Copy("good");
        await using var loader = Loader();
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        await loader.Get("good").Status.Model!.Sha256.Value;
        File.Delete(Graph(Path.Combine(directory, "good")));

        var model = loader.Get("good").Status.Model!;

        Assert.Equal(64, (await model.Sha256.Value).Length); // it was computed at the start
        Assert.Equal("", ModelBuilder.Sha256(Path.Combine(directory, "absent")));
        Assert.Equal(3, await model.Executor.RunOneAsync(new GraphInput([2, 5, 3]), model.Graph.Outputs[0].Name, (_, length) => length));
    }

    [Fact]
    public async Task Attention_larger_than_a_run_may_hold_is_refused_before_it_runs_and_the_rest_is_served()
    {
        Copy("good");
        await using var loader = Loader(new LoadingOptions { Directory = directory, Execution = Cpu, Queue = new QueueOptions { MaxSequenceOutputBytes = 1000 } });
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        var model = loader.Get("good").Status.Model!;
        Task<int> Ask(int tokens, string output) =>
            model.Executor.RunOneAsync(new GraphInput([.. Enumerable.Repeat(5, tokens)]), output, (_, length) => length);

        var tap = model.Graph.Attention[0].Output;
        Assert.Equal(2, await Ask(2, tap)); // 2 layers x 4 heads x 2 x 2 floats
        var refused = await Assert.ThrowsAsync<InferenceException>(() => Ask(6, tap)); // one layer would fit, what the run holds does not

        Assert.Equal(ErrorCode.TooLarge, refused.Code);
        Assert.Contains("1000", refused.Message, StringComparison.Ordinal);
        Assert.Equal(6, await Ask(6, model.Graph.Outputs[0].Name));
    }

    [Fact]
    public async Task A_missing_directory_serves_nothing_and_says_so()
    {
        await using var loader = Loader(new LoadingOptions { Directory = Path.Combine(directory, "absent"), Execution = Cpu });
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        Assert.Empty(loader.Models.Select(m => m.Status));
        Assert.False(loader.IsReady);
        Assert.Contains(lines.Of(LogLevel.Warning), l => l.Contains("absent", StringComparison.Ordinal));
    }

    [Fact]
    public async Task At_the_end_models_are_unloaded()
    {
        Copy("good");
        var loader = Loader();
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        var model = loader.Get("good").Status.Model!;
        await loader.DisposeAsync();
        await loader.DisposeAsync();
        Assert.Equal(ErrorCode.NotLoaded, Assert.Throws<InferenceException>(() => loader.Acquire("good")).Code);
        var late = model.Executor.RunOneAsync(new GraphInput([1]), model.Graph.Outputs[0].Name, (_, length) => length);
        Assert.Equal(ErrorCode.Unavailable, (await Assert.ThrowsAsync<InferenceException>(() => late)).Code);
    }

    [Fact]
    public void A_loading_model_says_so()
    {
        var e = Assert.Throws<InferenceException>(() => new ServedModel("slow").Acquire());
        Assert.Equal(ErrorCode.Unavailable, e.Code);
        Assert.NotNull(e.RetryAfter);
    }

    [Theory]
    [InlineData("other")]
    [InlineData("../good")]
    [InlineData("GOOD")]
    public async Task An_unknown_model_is_answered_with_the_known_ones(string id)
    {
        Copy("good");
        await using var loader = Loader();
        await loader.LoadAllAsync(TestContext.Current.CancellationToken);
        var e = Assert.Throws<InferenceException>(() => loader.Acquire(id));
        Assert.Equal(ErrorCode.UnknownModel, e.Code);
        Assert.Contains("'good'", e.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.UnknownModel, (await Assert.ThrowsAsync<InferenceException>(() => loader.LoadAsync(id, TestContext.Current.CancellationToken))).Code);
    }

    public void Dispose()
    {
        Directory.Delete(directory, recursive: true);
        lines.Dispose();
    }

    private static ExecutionOptions Cpu => new() { Provider = ExecutionProvider.Cpu };

    private static string Graph(string folder) => Path.Combine(folder, "onnx", "model.onnx");

    private static void Cut(string path)
    {
        var bytes = File.ReadAllBytes(path);
        File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]);
    }

    private ModelRegistry Loader(LoadingOptions? options = null) =>
        new(options ?? new LoadingOptions { Directory = directory, Execution = Cpu }, lines);

    // A copy of demo-language, which is small, with a fault.
    private void Copy(string id, Action<string>? damage = null)
    {
        var from = Path.Combine(Repository.Models, "demo-language");
        var to = Path.Combine(directory, id);
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories).Where(f => !f.Contains("expected", StringComparison.Ordinal)))
        {
            var target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }

        damage?.Invoke(to);
    }

    /// <summary>Collects log lines.</summary>
    private sealed class Lines : ILoggerFactory, ILogger
    {
        private readonly List<(LogLevel Level, string Text)> lines = [];

        public IReadOnlyList<string> Of(LogLevel level)
        {
            lock (lines)
            {
                return [.. lines.Where(l => l.Level == level).Select(l => l.Text)];
            }
        }

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (lines)
            {
                lines.Add((logLevel, formatter(state, exception) + exception));
            }
        }

        public void Dispose()
        {
        }
    }
}
