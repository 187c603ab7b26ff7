using System.Text.RegularExpressions;

namespace InferenceServer.Server.Tests;

/// <summary>What is typed: verbs, the models folder, settings, and how a start that cannot succeed ends.</summary>
public sealed partial class CommandLineTests
{
    [Fact]
    public async Task Version()
    {
        var (code, output) = await ServerProcess.RunAsync(["version"]);
        Assert.Equal(0, code);
        Assert.Matches(@"^InferenceServer \d+\.\d+\.\d+", output.Trim());
    }

    [Fact]
    public async Task Inspect_tells_what_is_understood_of_a_folder()
    {
        var (code, output) = await ServerProcess.RunAsync(["inspect", "models/demo-bert"]);
        Assert.Equal(0, code);
        foreach (var word in (string[])["onnx/model.onnx", "input_ids", "attention_mask", "token_type_ids", "last_hidden_state", "logits", "fill-mask", "embeddings", "WordPiece", "1_Pooling/config.json", "Pooling Mean"])
        {
            Assert.Contains(word, output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Inspect_of_a_broken_folder_names_the_problem_and_fails()
    {
        using var folder = new TemporaryFolder();
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), folder.Path);
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "tokenizer.json"), "{\"version\": \"1.0\", ", TestContext.Current.CancellationToken);
        var (code, output) = await ServerProcess.RunAsync(["inspect", folder.Path]);
        Assert.NotEqual(0, code);
        Assert.Contains("tokenizer.json", output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);

        (code, output) = await ServerProcess.RunAsync(["inspect", Path.Combine(folder.Path, "nowhere")]);
        Assert.NotEqual(0, code);
        Assert.Single(output.Trim().Split('\n'));
    }

    [Fact]
    public async Task The_models_folder_is_relative_to_the_folder_the_command_is_typed_in()
    {
        using var folder = new TemporaryFolder();
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-language"), Path.Combine(folder.Path, "mine", "here"));
        await using var server = await ServerProcess.StartAsync("mine", folder: folder.Path);
        Assert.Equal("here", (string)(await server.Client.ReadAsync("/api/models")).Ok["models"]![0]!["id"]!);
    }

    [Fact]
    public async Task Start_prints_a_table_the_urls_and_a_curl_line_that_works()
    {
        await using var server = await ServerProcess.StartAsync(Repository.Models);
        var log = server.Log;
        foreach (var word in (string[])["demo-bert", "demo-gpt", "demo-language", "demo-translator", "4 x 6", "256", "cpu", "/swagger", "/health"])
        {
            Assert.Contains(word, log, StringComparison.OrdinalIgnoreCase);
        }

        var curl = Curl().Match(log);
        Assert.True(curl.Success, log);
        using var shell = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("bash", ["-c", curl.Value + " -sS -w '\\n%{http_code}'"]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = await shell.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await shell.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.EndsWith("200", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_wrong_setting_is_reported_with_its_remedy()
    {
        var (code, output) = await ServerProcess.RunAsync(
            ["--urls", "http://127.0.0.1:0", "--models", Repository.Models],
            new Dictionary<string, string?> { ["Limits__MaxInputs"] = "many", ["Limits__MaxBodyByte"] = "1", ["Execution__Provider"] = "tpu" });
        Assert.NotEqual(0, code);
        Assert.Contains("Limits:MaxInputs", output, StringComparison.Ordinal);
        Assert.Contains("MaxBodyBytes", output, StringComparison.Ordinal);
        Assert.Contains("Execution:Provider", output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_absent_models_folder_ends_in_one_line()
    {
        var (code, output) = await ServerProcess.RunAsync(["--urls", "http://127.0.0.1:0", "--models", "/nowhere/at/all"]);
        Assert.NotEqual(0, code);
        Assert.Contains("/nowhere/at/all", output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_in_use_ends_in_one_line()
    {
        await using var first = await ServerProcess.StartAsync(Repository.Models, ready: false);
        var (code, output) = await ServerProcess.RunAsync(["--urls", first.Client.BaseAddress!.ToString(), "--models", Repository.Models]);
        Assert.NotEqual(0, code);
        Assert.Contains(first.Client.BaseAddress.Port.ToString(System.Globalization.CultureInfo.InvariantCulture), output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cuda_without_a_gpu_ends_in_one_line_that_names_the_remedy()
    {
        if (File.Exists("/dev/nvidia0"))
        {
            Assert.Skip("this machine has a GPU");
        }

        var (code, output) = await ServerProcess.RunAsync(["--urls", "http://127.0.0.1:0", "--models", Repository.Models], new Dictionary<string, string?> { ["Execution__Provider"] = "cuda" });
        Assert.NotEqual(0, code);
        var line = Assert.Single(output.Trim().Split('\n'));
        Assert.Contains("CUDA", line, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("Execution:Provider", line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/nowhere/libonnxruntime_providers_cuda.so", "/nowhere/libonnxruntime_providers_cuda.so")]
    [InlineData("models/README.md", "README.md")]
    public async Task A_provider_library_that_cannot_be_loaded_ends_in_one_line(string library, string named)
    {
        var (code, output) = await ServerProcess.RunAsync(
            ["--urls", "http://127.0.0.1:0", "--models", Repository.Models],
            new Dictionary<string, string?> { ["Execution__Provider"] = "cuda", ["Execution__ProviderLibrary"] = library });
        Assert.NotEqual(0, code);
        Assert.Contains(named, Assert.Single(output.Trim().Split('\n')), StringComparison.Ordinal);
    }

    [GeneratedRegex(@"curl .*$", RegexOptions.Multiline)]
    private static partial Regex Curl();
}
