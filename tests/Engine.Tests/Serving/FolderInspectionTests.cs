using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tests.Manifest;
using Xunit;

namespace InferenceServer.Engine.Tests.Serving;

public sealed class FolderInspectionTests
{
    [Fact]
    public void Every_problem_is_told_not_the_first()
    {
        using var folder = new Folder(
            ("config.json", "{\"hidden_size\": "),
            ("model.onnx", "not a model"),
            ("modules.json", """{"type": "a.Transformer"}"""),
            ("generation_config.json", "[]"),
            ("tokenizer.json", "{"));

        var report = FolderInspection.Inspect(folder.Path);

        Assert.False(report.CanBeServed);
        foreach (var file in (string[])["config.json", "model.onnx", "modules.json", "generation_config.json", "tokenizer.json"])
        {
            Assert.Contains(report.Problems, p => p.Contains(file, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void An_error_that_nobody_foresaw_is_a_problem_and_a_cancellation_is_none()
    {
        var problems = new CollectedProblems();

        Assert.Null(problems.Try<object>(() => throw new KeyNotFoundException("no such key")));
        Assert.Throws<OperationCanceledException>(() => problems.Try<object>(() => throw new OperationCanceledException()));

        var problem = Assert.Single(problems.All);
        Assert.Contains("An unexpected error (KeyNotFoundException)", problem, StringComparison.Ordinal);
        Assert.Contains("no such key", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_that_is_no_model_and_one_that_is_not_there_are_told()
    {
        using var folder = new Folder(("train.py", "x"));

        Assert.Contains("skips it", Assert.Single(FolderInspection.Inspect(folder.Path).Problems), StringComparison.Ordinal);
        Assert.Contains("There is no folder", Assert.Single(FolderInspection.Inspect(Path.Combine(folder.Path, "absent")).Problems), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("bert-embed-cls-dense", null, "Dense 32 -> 24, Tanh")]
    [InlineData("bert-fp16", "model_fp16.onnx", "weights float16")]
    [InlineData("llama-genai-gqa", null, "weights in model.onnx.data")]
    [InlineData("bert-fused-ort", null, "the graph runs what the tokenizer gives")]
    [InlineData("bart", null, "cross layer 1")]
    [InlineData("bert-ner", null, "labels: 7")]
    public void What_is_understood_is_shown(string name, string? file, string line)
    {
        var models = new Dictionary<string, ModelSettings>();
        if (file is not null)
        {
            models[name] = new ModelSettings { File = file };
        }

        var report = FolderInspection.Inspect(Path.Combine(TestData.Zoo, name), new LoadingOptions { Directory = TestData.Zoo, Models = models });

        Assert.Empty(report.Problems);
        Assert.Contains(report.Sections.SelectMany(s => s.Lines), l => l.Contains(line, StringComparison.Ordinal));
    }

    [Fact]
    public void Weights_that_do_not_fit_their_shape_are_a_problem_of_the_first_run()
    {
        var source = Path.Combine(TestData.Zoo, "bert-external-data");
        using var folder = new Folder();
        foreach (var file in Directory.GetFiles(source).Where(f => !Path.GetFileName(f).StartsWith("expected", StringComparison.Ordinal)))
        {
            folder.Write(Path.GetFileName(file), File.ReadAllBytes(file));
        }

        folder.Write("model.onnx_data", new byte[100]);

        Assert.Contains("ONNX Runtime cannot load the graph", Assert.Single(FolderInspection.Inspect(folder.Path).Problems), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_reference_folder_can_be_served()
    {
        var problems = Directory.GetDirectories(TestData.Zoo)
            .Select(folder => FolderInspection.Inspect(folder))
            .SelectMany(report => report.Problems.Select(problem => $"{Path.GetFileName(report.Folder)}: {problem}"))
            .ToList();

        Assert.True(problems.Count == 0, string.Join('\n', problems));
    }
}
