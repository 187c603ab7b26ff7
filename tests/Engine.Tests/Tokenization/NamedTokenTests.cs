using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Roles of special tokens in folders whose other files do not name them (the first BERT and GPT-2 repositories are such).</summary>
public sealed class NamedTokenTests : IDisposable
{
    private readonly TemporaryFolder copy = new();

    public void Dispose() => copy.Dispose();

    [Theory]
    [InlineData("bert-fill-mask-eager", "[MASK]", "[CLS]", "[PAD]", "[UNK]", null)]
    [InlineData("roberta-fill-mask", "<mask>", "<s>", "<pad>", "<unk>", "</s>")]
    [InlineData("t5-small-like", null, null, "<pad>", "<unk>", "</s>")]
    [InlineData("gpt2-no-past", null, null, null, "<|endoftext|>", "<|endoftext|>")]
    public void A_folder_that_names_none_has_the_usual_ones(string folder, string? mask, string? cls, string? pad, string? unk, string? eos)
    {
        File.Copy(Path.Combine(TestData.Zoo, folder, "tokenizer.json"), Path.Combine(copy.Path, "tokenizer.json"));
        Check();
        File.WriteAllText(Path.Combine(copy.Path, "tokenizer_config.json"), """{"do_lower_case": true, "model_max_length": 512}""");
        Check();

        void Check()
        {
            var named = Tokenizer.Load(copy.Path).Named;
            Assert.Equal([mask, cls, pad, unk, eos], [named.Mask?.Text, named.Cls?.Text, named.Pad?.Text, named.Unk?.Text, named.Eos?.Text]);
        }
    }

    [Fact]
    public void A_folder_that_names_some_has_no_others()
    {
        File.Copy(Path.Combine(TestData.Zoo, "bert-fill-mask-eager", "tokenizer.json"), Path.Combine(copy.Path, "tokenizer.json"));
        File.WriteAllText(Path.Combine(copy.Path, "special_tokens_map.json"), """{"unk_token": "[UNK]"}""");
        var named = Tokenizer.Load(copy.Path).Named;
        Assert.Equal("[UNK]", named.Unk?.Text);
        Assert.Null(named.Mask);
    }
}
