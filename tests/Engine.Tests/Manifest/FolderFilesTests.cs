using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Manifest;

/// <summary>Which files of a folder may be opened: the same rule for graphs, configurations and tokenizers.</summary>
public sealed class FolderFilesTests
{
    private const string Json = """{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}""";

    public static TheoryData<string> Files() => ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json", "vocab.txt", "target.spm"];

    [Theory]
    [MemberData(nameof(Files))]
    public void A_link_out_of_the_folder_is_refused_with_the_remedy(string file)
    {
        using var folder = new Folder(("tokenizer.json", Json));
        if (file is "vocab.txt" or "tokenizer.json")
        {
            File.Delete(Path.Combine(folder.Path, "tokenizer.json"));
        }

        Outside(folder, file);
        var message = Assert.Throws<ModelLoadException>(() => Load(folder)).Message;
        Assert.Contains($"links that lead outside of it: {file}", message, StringComparison.Ordinal);
        Assert.Contains("cp -rL", message, StringComparison.Ordinal);
        Assert.Contains("--local-dir", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_file_of_the_folder_gives_the_same_message()
    {
        using var folder = new Folder();
        Outside(folder, "config.json");
        Outside(folder, "model.onnx");
        Outside(folder, "tokenizer.json");
        string[] messages =
        [
            Message(() => Load(folder)),
            Message(() => OnnxFileSet.Choose(folder.Path)),
            Message(() => JsonFile.ReadObject(folder.Path, "config.json")),
        ];
        Assert.Contains("config.json, model.onnx, tokenizer.json", Assert.Single(messages.Distinct()), StringComparison.Ordinal);

        static string Message(Action read) => Assert.Throws<ModelLoadException>(read).Message;
    }

    [Fact]
    public void A_link_that_stays_inside_is_followed()
    {
        using var folder = new Folder(("store/tokenizer.json", Json));
        File.CreateSymbolicLink(Path.Combine(folder.Path, "tokenizer.json"), "store/tokenizer.json");
        Assert.Equal([0], Load(folder).Encode("a").Ids);
    }

    [Fact]
    public void A_snapshot_of_a_hub_cache_may_link_to_its_own_blobs()
    {
        using var cache = new Folder();
        var repository = Path.Combine(cache.Path, "models--org--name");
        var snapshot = Snapshot(repository, "abc", "../../blobs/1234");
        Blob(repository);
        Assert.Equal([0], Tokenizer.Load(snapshot).Encode("a").Ids);

        // A folder elsewhere that is a link to the snapshot is the snapshot; files below it are read as well.
        var linked = Path.Combine(cache.Outside, "linked");
        Directory.CreateSymbolicLink(linked, snapshot);
        Assert.Equal([0], Tokenizer.Load(linked).Encode("a").Ids);
        Directory.CreateDirectory(Path.Combine(snapshot, "onnx"));
        File.CreateSymbolicLink(Path.Combine(snapshot, "onnx", "model.onnx"), "../../../blobs/1234");
        Assert.NotNull(FolderFiles.Find(snapshot, "onnx/model.onnx"));
        Assert.NotNull(FolderFiles.Find(Path.Combine(snapshot, "onnx"), "model.onnx"));
    }

    [Theory]
    [InlineData("models--org--name", "../../../models--org--other/blobs/1234")] // another repository's blobs
    [InlineData("models--org--name", "../../refs/1234")] // not the blobs
    [InlineData("org--name", "../../blobs/1234")] // no hub cache
    public void A_snapshot_may_link_to_nothing_else(string repository, string target)
    {
        using var cache = new Folder();
        var snapshot = Snapshot(Path.Combine(cache.Path, repository), "abc", target);
        Blob(Path.Combine(cache.Path, "models--org--other"));
        Blob(Path.Combine(cache.Path, repository));
        Directory.CreateDirectory(Path.Combine(cache.Path, repository, "refs"));
        File.WriteAllText(Path.Combine(cache.Path, repository, "refs", "1234"), Json);
        Assert.Contains("blobs", Assert.Throws<ModelLoadException>(() => Tokenizer.Load(snapshot)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Files_that_are_too_large_are_refused_unread()
    {
        using var folder = new Folder();
        Large("tokenizer.json", TokenizerConfig.MostBytes + 1);
        Large("config.json", (32 << 20) + 1);
        Assert.StartsWith($"tokenizer.json has {TokenizerConfig.MostBytes + 1} bytes", Assert.Throws<ModelLoadException>(() => TokenizerConfig.Open(folder.Path, "tokenizer.json")).Message, StringComparison.Ordinal);
        Assert.StartsWith("config.json has", Assert.Throws<ModelLoadException>(() => JsonFile.Read(folder.Path, "config.json")).Message, StringComparison.Ordinal);

        void Large(string name, long size)
        {
            using var file = File.Create(Path.Combine(folder.Path, name));
            file.SetLength(size); // a hole: no disk is used
        }
    }

    [Fact]
    public void JSON_that_is_nested_too_deep_is_refused_as_such()
    {
        using var folder = new Folder(("tokenizer.json", new string('[', 65) + new string(']', 65)), ("config.json", new string('[', 65) + new string(']', 65)));
        Assert.Contains("deeper than 64 levels", Assert.Throws<ModelLoadException>(() => TokenizerConfig.Open(folder.Path, "tokenizer.json")).Message, StringComparison.Ordinal);
        Assert.Contains("deeper than 64 levels", Assert.Throws<ModelLoadException>(() => JsonFile.Read(folder.Path, "config.json")).Message, StringComparison.Ordinal);
    }

    private static Tokenizer Load(Folder folder) => Tokenizer.Load(folder.Path);

    private static void Outside(Folder folder, string file)
    {
        File.WriteAllText(Path.Combine(folder.Outside, file), "{}");
        File.CreateSymbolicLink(Path.Combine(folder.Path, file), "../" + file);
    }

    private static string Snapshot(string repository, string revision, string target)
    {
        var snapshot = Path.Combine(repository, "snapshots", revision);
        Directory.CreateDirectory(snapshot);
        File.CreateSymbolicLink(Path.Combine(snapshot, "tokenizer.json"), target);
        return snapshot;
    }

    private static void Blob(string repository)
    {
        Directory.CreateDirectory(Path.Combine(repository, "blobs"));
        File.WriteAllText(Path.Combine(repository, "blobs", "1234"), Json);
    }
}
