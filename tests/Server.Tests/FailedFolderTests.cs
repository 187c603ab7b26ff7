namespace InferenceServer.Server.Tests;

/// <summary>Folders that cannot be served fail alone, each with a reason a person can act on; the good ones serve.</summary>
public sealed class FailedFolderTests
{
    [Fact]
    public async Task Broken_folders_beside_good_ones()
    {
        using var models = new TemporaryFolder();
        string Folder(string name, string from = "demo-language")
        {
            var path = Path.Combine(models.Path, name);
            TemporaryFolder.Copy(Path.Combine(Repository.Models, from), path);
            return path;
        }

        static void Truncate(string file, int keep)
        {
            using var stream = File.OpenWrite(file);
            stream.SetLength(stream.Length * keep / 100);
        }

        Folder("good");
        var corrupt = Folder("corrupt-graph");
        File.WriteAllBytes(Path.Combine(corrupt, "onnx", "model.onnx"), [.. Enumerable.Range(0, 4096).Select(i => (byte)(i * 37))]);
        Truncate(Path.Combine(Folder("cut-graph"), "onnx", "model.onnx"), 60);
        Truncate(Path.Combine(Folder("cut-tokenizer"), "tokenizer.json"), 50);
        Truncate(Path.Combine(Folder("cut-config"), "config.json"), 50);
        File.Delete(Path.Combine(Folder("no-graph"), "onnx", "model.onnx"));
        var choice = Folder("two-graphs");
        File.Copy(Path.Combine(choice, "onnx", "model.onnx"), Path.Combine(choice, "onnx", "model_a.onnx"));
        File.Move(Path.Combine(choice, "onnx", "model.onnx"), Path.Combine(choice, "onnx", "model_b.onnx"));
        Directory.CreateDirectory(Path.Combine(models.Path, "empty"));
        Directory.CreateDirectory(Path.Combine(models.Path, "scripts"));
        await File.WriteAllTextAsync(Path.Combine(models.Path, "scripts", "train.py"), "print()", TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(Path.Combine(models.Path, "README.md"), "models", TestContext.Current.CancellationToken);

        await using var server = await ServerProcess.StartAsync(models.Path);
        var list = (await server.Client.ReadAsync("/api/models")).Ok["models"]!.AsArray().ToDictionary(m => (string)m!["id"]!, m => m!);
        Assert.Equal(["corrupt-graph", "cut-config", "cut-graph", "cut-tokenizer", "good", "no-graph", "two-graphs"], list.Keys.Order(StringComparer.Ordinal));
        Assert.Equal("ready", (string)list["good"]["state"]!);

        (string Model, string[] Says)[] reasons =
        [
            ("corrupt-graph", ["model.onnx"]), ("cut-graph", ["model.onnx"]), ("cut-tokenizer", ["tokenizer.json"]), ("cut-config", ["config.json"]),
            ("no-graph", [".onnx"]), ("two-graphs", ["onnx/model_a.onnx", "onnx/model_b.onnx", "Models:two-graphs:File"]),
        ];
        foreach (var (model, says) in reasons)
        {
            Assert.Equal("failed", (string)list[model]["state"]!);
            var reason = (string)list[model]["reason"]!;
            foreach (var word in says)
            {
                Assert.Contains(word, reason, StringComparison.Ordinal);
            }

            Assert.DoesNotContain("   at ", reason, StringComparison.Ordinal);
            var answer = await server.Client.PostAsync($"/api/models/{model}/predictions", """{"inputs": "a"}""");
            Assert.Equal(409, answer.Status);
            Assert.Contains(reason[..Math.Min(20, reason.Length)], (string)answer.Json["detail"]!, StringComparison.Ordinal);
            Assert.NotEqual(200, (await server.Client.ReadAsync($"/health/ready/{model}")).Status);
            Assert.Contains(model, server.Log, StringComparison.Ordinal);
        }

        var ready = await server.Client.ReadAsync("/health/ready");
        Assert.Equal(200, ready.Status);
        Assert.Contains("cut-tokenizer", ready.Body, StringComparison.Ordinal);
        Assert.Equal(200, (await server.Client.PostAsync("/api/models/good/predictions", """{"inputs": "O banco da praça"}""")).Status);
        server.AssertCleanLog();
    }

    [Fact]
    public async Task No_model_at_all_is_live_and_not_ready()
    {
        using var models = new TemporaryFolder();
        await using var server = await ServerProcess.StartAsync(models.Path, ready: false);
        Assert.Equal(200, (await server.Client.ReadAsync("/health/live")).Status);
        Assert.Equal(503, (await server.Client.ReadAsync("/health/ready")).Status);
        Assert.Empty((await server.Client.ReadAsync("/api/models")).Ok["models"]!.AsArray());
        Assert.Contains(models.Path, server.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_file_setting_chooses_the_graph()
    {
        using var models = new TemporaryFolder();
        var folder = Path.Combine(models.Path, "m");
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), folder);
        File.Copy(Path.Combine(folder, "onnx", "model.onnx"), Path.Combine(folder, "onnx", "model_a.onnx"));
        File.Move(Path.Combine(folder, "onnx", "model.onnx"), Path.Combine(folder, "onnx", "model_b.onnx"));
        await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Models__m__File"] = "onnx/model_b.onnx" });
        var model = (await server.Client.ReadAsync("/api/models/m")).Ok;
        Assert.Equal(("ready", "onnx/model_b.onnx"), ((string)model["state"]!, (string)model["file"]!));
    }

    [Fact]
    public async Task A_file_outside_the_models_folder_is_not_loaded()
    {
        using var models = new TemporaryFolder();
        var folder = Path.Combine(models.Path, "m");
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), folder);
        var outside = Path.Combine(Repository.Models, "demo-language", "onnx", "model.onnx");
        foreach (var file in (string[])[outside, "../../" + Path.GetRelativePath("/", outside)])
        {
            await using var server = await ServerProcess.StartAsync(models.Path, new Dictionary<string, string?> { ["Models__m__File"] = file }, ready: false);
            string state;
            while ((state = (string)(await server.Client.ReadAsync("/api/models/m")).Ok["state"]!) == "loading")
            {
                await Task.Yield();
            }

            Assert.Equal("failed", state);
        }
    }
}
