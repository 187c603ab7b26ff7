using System.Text;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Tokenizer files that careless programs wrote: what Python reads is read, all else is refused with the name of the file.</summary>
public sealed class DamagedSettingsTests
{
    [Theory]
    [InlineData("bert-classify", "tokenizer_config.json")]
    [InlineData("bert-classify", "tokenizer.json")]
    [InlineData("marian-en-pt", "tokenizer_config.json")]
    [InlineData("marian-en-pt", "config.json")]
    public void Of_a_member_that_stands_there_twice_the_last_counts(string model, string file)
    {
        using var folder = Copied(model);
        var expected = Tokenizer.Load(folder.Path).Encode("The cat sleeps.").Ids.ToArray();
        var path = Path.Combine(folder.Path, file);
        var text = File.ReadAllText(path);
        var begin = text.IndexOf('{', StringComparison.Ordinal) + 1;
        File.WriteAllText(path, $"{text[..begin]}\"model_type\": 7, \"model_type\": 8, \"eos_token\": \"x\", \"added_tokens\": 5, \"version\": \"0\", {text[begin..]}");

        Assert.Equal(expected, Tokenizer.Load(folder.Path).Encode("The cat sleeps.").Ids.ToArray());
    }

    [Theory]
    [InlineData("bert-classify", "tokenizer_config.json")]
    [InlineData("bert-classify", "tokenizer.json")]
    [InlineData("marian-en-pt", "tokenizer_config.json")]
    public void Bytes_that_are_no_text_are_refused(string model, string file)
    {
        using var folder = Copied(model);
        var path = Path.Combine(folder.Path, file);
        byte[] broken = [.. Encoding.UTF8.GetBytes("{\"comment\": \"a"), 0xED, 0xA0, 0x80, 0xFF, .. Encoding.UTF8.GetBytes("\","), .. File.ReadAllBytes(path).AsSpan(1)];
        File.WriteAllBytes(path, broken);

        var e = Assert.Throws<ModelLoadException>(() => Tokenizer.Load(folder.Path));

        Assert.Contains(file, e.Message, StringComparison.Ordinal);
        Assert.Contains("UTF-8", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("eos_token", "</s>")]
    [InlineData("unk_token", "<unk>")]
    [InlineData("pad_token", "<pad>")]
    public void A_Marian_folder_without_one_of_its_special_tokens_is_refused_by_name(string role, string token)
    {
        using var folder = Copied("marian-en-pt");
        foreach (var name in (string[])["tokenizer_config.json", "special_tokens_map.json"])
        {
            var path = Path.Combine(folder.Path, name);
            File.WriteAllText(path, File.ReadAllText(path).Replace($"\"{role}\": \"{token}\"", $"\"{role}\": null", StringComparison.Ordinal));
        }

        Assert.Contains($"$.{role}", Assert.Throws<ModelLoadException>(() => Tokenizer.Load(folder.Path)).Message, StringComparison.Ordinal);
    }

    private static TemporaryFolder Copied(string model)
    {
        var folder = new TemporaryFolder();
        TemporaryFolder.Copy(Path.Combine(TestData.Zoo, model), folder.Path, file => Path.GetExtension(file) != ".onnx");
        return folder;
    }
}
