using System.Globalization;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Serving;
using InferenceServer.TestSupport.Fuzz;
using Xunit;

namespace InferenceServer.Engine.Tests.Serving;

/// <summary>Folders one of whose files was changed: each loads, or is refused with a reason that somebody wrote; nothing else happens.</summary>
public sealed class FolderFuzzTests
{
    private const int Changes = 12; // of each file; FUZZ_FILES sets more

    public static TheoryData<string> Folders() => ["bert-embed-cls-dense", "bert-classify", "gpt2-with-past", "roberta-fill-mask", "t5-small-like", "marian-en-pt"];

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task A_changed_file_is_refused_with_a_reason_or_loads(string source)
    {
        var changes = int.Parse(Environment.GetEnvironmentVariable("FUZZ_FILES") ?? Changes.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        var seed = int.Parse(Environment.GetEnvironmentVariable("FUZZ_SEED") ?? "0", CultureInfo.InvariantCulture);
        using var directory = new TemporaryFolder();
        var names = new Dictionary<string, string>();
        var from = Path.Combine(TestData.Zoo, source);
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories).Where(FileMutation.IsChanged))
        {
            for (var number = seed; number < seed + changes; number++)
            {
                var id = string.Create(CultureInfo.InvariantCulture, $"f{names.Count}");
                names[id] = $"{Path.GetRelativePath(from, file)} number {number}";
                var folder = Path.Combine(directory.Path, id);
                TemporaryFolder.Copy(from, folder, f => !Path.GetFileName(f).StartsWith("expected.", StringComparison.Ordinal));
                await File.WriteAllBytesAsync(Path.Combine(folder, Path.GetRelativePath(from, file)), FileMutation.Of(file, number), TestContext.Current.CancellationToken);
            }
        }

        await using var registry = new ModelRegistry(new LoadingOptions { Directory = directory.Path, Execution = new ExecutionOptions { Workers = 1, IntraOpThreads = 1 } });
        await registry.LoadAllAsync(TestContext.Current.CancellationToken);
        var states = registry.Models.Select(model => model.Status).ToArray();
        var wrong = states.Where(status => status.Reason?.Contains("unexpected error", StringComparison.Ordinal) == true).Select(status => $"{names[status.Id]}: {status.Reason}").ToList();
        foreach (var status in states.Where(status => status.Model is not null))
        {
            try
            {
                status.Model!.Tokenizer.Encode("The cat sleeps. \ud83d\ude00");
            }
            catch (Exception e) when (e is not Diagnostics.InferenceException)
            {
                wrong.Add($"{names[status.Id]}: {e}");
            }
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        Assert.True(states.Length >= names.Count * 9 / 10, $"{states.Length} of {names.Count} folders were looked at");
        Assert.Contains(states, status => status.State == ModelState.Ready);
        Assert.Contains(states, status => status.State == ModelState.Failed);
    }
}
