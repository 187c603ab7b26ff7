using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>What had to be chosen for a model is one list, wherever it is told.</summary>
public sealed class NotesTests
{
    [Fact]
    public async Task The_log_the_answer_and_inspect_have_the_same_notes()
    {
        using var models = new TemporaryFolder();
        var folder = Path.Combine(models.Path, "noted");
        TemporaryFolder.Copy(Path.Combine(Repository.Models, "demo-bert"), folder);
        var file = Path.Combine(folder, "tokenizer_config.json");
        var config = JsonNode.Parse(await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken))!;
        config["tokenizer_class"] = "BertTokenizer";
        config["do_lower_case"] = !(config["do_lower_case"]?.GetValue<bool>() ?? true);
        config["strip_accents"] = !(config["strip_accents"]?.GetValue<bool>() ?? false);
        await File.WriteAllTextAsync(file, config.ToJsonString(), TestContext.Current.CancellationToken);

        await using var server = await ServerProcess.StartAsync(models.Path);
        var notes = (await server.Client.ReadAsync("/api/models/noted")).Ok["notes"]!.AsArray().Select(n => (string)n!).ToList();
        Assert.NotEmpty(notes);
        Assert.Contains(notes, n => n.Contains("do_lower_case", StringComparison.Ordinal) || n.Contains("strip_accents", StringComparison.Ordinal));
        Assert.All(notes, note => Assert.Contains("WRN noted: " + note, server.Log, StringComparison.Ordinal));

        var (_, output) = await ServerProcess.RunAsync(["inspect", folder]);
        var lines = output.Split('\n').Select(l => l.TrimEnd()).ToList();
        var start = lines.IndexOf("Notes");
        Assert.True(start >= 0, output);
        Assert.Equal(notes, lines.Skip(start + 1).TakeWhile(l => l.Length > 0).Select(l => l[2..]));
    }
}
