using System.Security.Cryptography;
using Xunit;

namespace InferenceServer.Engine.Tests.TestSupport;

/// <summary>The archives of the tests' data: what goes in comes out, once, whoever asks and whatever was left behind.</summary>
public sealed class TestArchiveTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();
    private readonly string source;
    private readonly string archive;
    private readonly string cache;

    public TestArchiveTests()
    {
        source = Path.Combine(temporary.Path, "source");
        archive = Path.Combine(temporary.Path, "data.tar.br");
        cache = Path.Combine(temporary.Path, "cache");
        Write(source);
    }

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void All_comes_out_but_the_corpora_and_the_description_at_the_top()
    {
        Assert.Equal(3, TestArchive.Create(source, archive));

        var folder = TestArchive.Unpack(archive, cache);

        Assert.Equal(["a/b/model.onnx", "a/model card.md", "é.json"], TestArchive.Files(folder));
        Assert.Equal(3, Directory.GetFiles(folder, "*", SearchOption.AllDirectories).Length);
        Assert.All(TestArchive.Files(folder), name => Assert.Equal(Hash(source, name), Hash(folder, name)));
    }

    [Fact]
    public void The_same_files_give_the_same_bytes()
    {
        TestArchive.Create(source, archive);
        var expected = File.ReadAllBytes(archive);
        var other = Path.Combine(temporary.Path, "other");
        Write(other);
        var file = Path.Combine(other, "a", "b", "model.onnx");
        File.SetLastWriteTimeUtc(file, new DateTime(2001, 2, 3, 0, 0, 0, DateTimeKind.Utc));
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(file, UnixFileMode.UserRead);
        }

        TestArchive.Create(other, archive);

        Assert.Equal(expected, File.ReadAllBytes(archive));
    }

    [Fact]
    public async Task Sixteen_that_ask_at_once_get_one_folder()
    {
        TestArchive.Create(source, archive);
        var asked = Enumerable.Range(0, 16).Select(_ => Task.Factory.StartNew(
            () =>
            {
                var folder = TestArchive.Unpack(archive, cache);
                return (Folder: folder, TestArchive.Files(folder).Count);
            },
            TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default));

        var answers = await Task.WhenAll(asked);

        Assert.Single(answers.Distinct());
        Assert.Equal(3, answers[0].Count);
        Assert.Equal([answers[0].Folder], Directory.GetDirectories(cache));
    }

    [Fact]
    public void What_is_there_stays_and_what_has_gone_is_unpacked_again()
    {
        TestArchive.Create(source, archive);
        var folder = TestArchive.Unpack(archive, cache);
        var kept = Path.Combine(folder, "kept");
        File.WriteAllText(kept, "");
        Assert.Equal(folder, TestArchive.Unpack(archive, cache));
        Assert.True(File.Exists(kept));

        File.Delete(Path.Combine(folder, "a", "b", "model.onnx"));
        Assert.Equal(folder, TestArchive.Unpack(archive, cache));
        Assert.Equal(3, TestArchive.Files(folder).Count);
        Assert.False(File.Exists(kept));
    }

    [Fact]
    public void What_a_stopped_process_left_is_no_hindrance()
    {
        TestArchive.Create(source, archive);
        var folder = TestArchive.Unpack(archive, cache);
        File.Delete(folder + ".files");
        Directory.CreateDirectory(folder + ".unfinished");
        File.WriteAllText(Path.Combine(folder + ".unfinished", "é.json"), "half");

        Assert.Equal(folder, TestArchive.Unpack(archive, cache));

        Assert.Equal([folder], Directory.GetDirectories(cache));
        Assert.All(TestArchive.Files(folder), name => Assert.Equal(Hash(source, name), Hash(folder, name)));
    }

    [Theory]
    [InlineData("zoo", 509)]
    [InlineData("goldens", 224)]
    public void The_archive_is_the_folder_beside_the_checkout(string name, int files)
    {
        var unpacked = name == "zoo" ? TestData.Zoo : TestData.Goldens;
        Assert.Equal(files, TestArchive.Files(unpacked).Count);
        var beside = TestData.Beside is null ? null : Path.Combine(TestData.Beside, name);
        Assert.SkipUnless(Directory.Exists(beside), $"../shared/{name} is absent: the archive's {files} files are there, and nothing to compare them with (INFERENCE_SHARED names another folder for ../shared)");
        Assert.Equal(TestArchive.Files(beside!), TestArchive.Files(unpacked));
        Assert.All(TestArchive.Files(unpacked), file => Assert.Equal(Hash(beside!, file), Hash(unpacked, file)));
    }

    private static string Hash(string folder, string name) => Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Path.Combine(folder, name))));

    private static void Write(string folder)
    {
        Directory.CreateDirectory(Path.Combine(folder, "a", "b"));
        File.WriteAllBytes(Path.Combine(folder, "a", "b", "model.onnx"), [.. Enumerable.Range(0, 100_000).Select(i => (byte)(i * i % 251))]);
        File.WriteAllText(Path.Combine(folder, "a", "model card.md"), "text");
        File.WriteAllText(Path.Combine(folder, "é.json"), "{}");
        File.WriteAllText(Path.Combine(folder, "README.md"), "no data");
        File.WriteAllText(Path.Combine(folder, "a", "corpus.jsonl.gz"), "not ours");
    }
}
