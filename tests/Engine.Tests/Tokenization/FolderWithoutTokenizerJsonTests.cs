using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Folders that carry older files beside tokenizer.json: without it they give the same.</summary>
public sealed class FolderWithoutTokenizerJsonTests : IDisposable
{
    private readonly TemporaryFolder copy = new();

    public void Dispose() => copy.Dispose();

    [Theory]
    [InlineData("albert-style")]
    [InlineData("bert-uncased")]
    [InlineData("bigbird-style")]
    [InlineData("clip-style")]
    [InlineData("deberta-v3-style")]
    [InlineData("gpt2")]
    [InlineData("llama-bpe-legacy")]
    [InlineData("llama-bpe-new")]
    // Not marian: its tokenizer.json lets the source side use pieces of the target side, which the tokenizer of the older files never does (zoo/marian-en-pt holds that).
    [InlineData("mpnet-style")]
    [InlineData("roberta-bpe")]
    [InlineData("t5-unigram")]
    [InlineData("wordpiece-cased")]
    [InlineData("xlm-roberta-unigram")]
    public void Gives_the_same_as_with_it(string folder)
    {
        var tokenizer = Load(folder);
        var wrong = new List<string>();
        var count = 0;
        foreach (var line in GoldenTokenizerTests.Lines(Path.Combine(TestData.Goldens, "tokenizers", folder, "cases.jsonl.gz")))
        {
            using var document = JsonDocument.Parse(line);
            if (document.RootElement.TryGetProperty("use_file_settings", out _))
            {
                continue; // truncation and padding stand in tokenizer.json alone
            }

            count++;
            if (GoldenCase.Difference(tokenizer, document.RootElement) is { } difference)
            {
                wrong.Add($"case {document.RootElement.GetProperty("id")}: {difference}");
            }
        }

        Assert.True(count > 0 && wrong.Count == 0, $"{wrong.Count} of {count} wrong:\n{string.Join('\n', wrong.Take(12))}");
    }

    [Theory]
    [InlineData("albert-style")]
    [InlineData("bert-uncased")]
    [InlineData("bigbird-style")]
    [InlineData("clip-style")]
    [InlineData("deberta-v3-style")]
    [InlineData("gpt2")]
    [InlineData("llama-bpe-legacy")]
    [InlineData("llama-bpe-new")]
    [InlineData("mpnet-style")]
    [InlineData("qwen2-style")] // here alone: its added tokens, of which the cases are full, stand in tokenizer.json
    [InlineData("roberta-bpe")]
    [InlineData("t5-unigram")]
    [InlineData("wordpiece-cased")]
    [InlineData("xlm-roberta-unigram")]
    public void Gives_the_same_on_the_corpus(string folder)
    {
        var corpus = TestData.Corpus(folder);
        var tokenizer = Load(folder);
        var wrong = new List<string>();
        var count = 0;
        foreach (var line in GoldenTokenizerTests.Lines(corpus))
        {
            using var document = JsonDocument.Parse(line);
            count++;
            var text = document.RootElement.GetProperty("text").GetString()!;
            if (!tokenizer.Encode(text).Ids.AsSpan().SequenceEqual(GoldenCase.Ints(document.RootElement.GetProperty("ids"))))
            {
                wrong.Add($"corpus: {text}");
            }
        }

        Checks.AtLeast(220, count, "lines");
        Assert.True(wrong.Count == 0, $"{wrong.Count} of {count} wrong:\n{string.Join('\n', wrong.Take(12))}");
    }

    [Fact]
    public void Target_texts_of_Marian_use_the_target_model()
    {
        var tokenizer = Tokenizer.Load(Path.Combine(TestData.Zoo, "marian-en-pt"));
        const string Text = "O rapaz comprou uma maçã vermelha na feira.";
        Assert.NotEqual(tokenizer.Encode(Text).Ids, tokenizer.EncodeTarget(Text).Ids);
        Assert.Equal(Text, tokenizer.Decode(tokenizer.EncodeTarget(Text).Ids));
    }

    [Theory]
    [InlineData("vocab.txt", "[PAD]\n[UNK]\nhello", "not in the vocabulary")]
    [InlineData("spiece.model", "no protobuf at all", "spiece.model")]
    [InlineData("tokenizer.model", "", "tokenizer.model")]
    public void A_damaged_file_is_refused_with_a_reason(string file, string content, string reason)
    {
        File.WriteAllText(Path.Combine(copy.Path, file), content);
        Assert.Contains(reason, Assert.Throws<ModelLoadException>(() => Tokenizer.Load(copy.Path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("vocab.txt", "BertJapaneseTokenizer")]
    [InlineData("tokenizer.model", "PegasusTokenizer")]
    public void A_class_with_other_conventions_is_refused_by_name(string file, string name)
    {
        File.WriteAllBytes(Path.Combine(copy.Path, file), [0x0A, 0x05, 0x0A, 0x03, (byte)'a', (byte)'b', (byte)'c']);
        File.WriteAllText(Path.Combine(copy.Path, "tokenizer_config.json"), $$"""{"tokenizer_class": "{{name}}"}""");
        Assert.Contains(name, Assert.Throws<ModelLoadException>(() => Tokenizer.Load(copy.Path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("vocab.txt", "esm")] // one letter a token
    [InlineData("tokenizer.model", "gemma")] // no space in front
    [InlineData("sentencepiece.bpe.model", "mbart")] // codes of languages
    public void A_model_type_that_names_no_known_tokenizer_is_refused_by_name(string file, string type)
    {
        File.WriteAllBytes(Path.Combine(copy.Path, file), [0x0A, 0x05, 0x0A, 0x03, (byte)'a', (byte)'b', (byte)'c']);
        File.WriteAllText(Path.Combine(copy.Path, "config.json"), $$"""{"model_type": "{{type}}"}""");
        var message = Assert.Throws<ModelLoadException>(() => Tokenizer.Load(copy.Path)).Message;
        Assert.Contains("config.json: $.model_type: ", message, StringComparison.Ordinal);
        Assert.Contains($"'{type}'", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Merges_whose_model_type_is_not_known_are_refused_by_name()
    {
        File.WriteAllText(Path.Combine(copy.Path, "vocab.json"), """{"a": 0, "b": 1, "ab": 2}""");
        File.WriteAllText(Path.Combine(copy.Path, "merges.txt"), "a b\n");
        File.WriteAllText(Path.Combine(copy.Path, "config.json"), """{"model_type": "ctrl"}""");
        Assert.Contains("'ctrl'", Assert.Throws<ModelLoadException>(() => Tokenizer.Load(copy.Path)).Message, StringComparison.Ordinal);
    }

    // The folder as it would be without tokenizer.json.
    private Tokenizer Load(string folder)
    {
        var source = Path.Combine(TestData.Goldens, "tokenizers", folder);
        TemporaryFolder.Copy(source, copy.Path, file => Path.GetFileName(file) != "tokenizer.json" && !file.EndsWith(".gz", StringComparison.Ordinal));
        return Tokenizer.Load(copy.Path);
    }

    [Theory]
    [InlineData("""{"word_tokenizer_type": "mecab"}""", "$.word_tokenizer_type is \"mecab\"")]
    [InlineData("""{"word_tokenizer_type": "basic", "subword_tokenizer_type": "character"}""", "$.subword_tokenizer_type is \"character\"")]
    [InlineData("""{"do_word_tokenize": true}""", "$.do_word_tokenize is true")]
    [InlineData("""{"do_subword_tokenize": false}""", "$.do_subword_tokenize is false")]
    [InlineData("""{"mecab_kwargs": {}}""", "$.mecab_kwargs")]
    [InlineData("""{"tokenizer_class": "BertJapaneseTokenizer"}""", "BertJapaneseTokenizer")]
    [InlineData("""{"word_tokenizer_type": "mecab", "tokenizer_class": "BertJapaneseTokenizer"}""", "BertJapaneseTokenizer")]
    public void A_vocabulary_that_is_no_WordPiece_is_refused_with_the_field(string config, string field)
    {
        File.WriteAllText(Path.Combine(copy.Path, "vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n");
        File.WriteAllText(Path.Combine(copy.Path, "tokenizer_config.json"), config);
        var message = Assert.Throws<ModelLoadException>(() => Tokenizer.Load(copy.Path)).Message;
        Assert.StartsWith("tokenizer_config.json: ", message, StringComparison.Ordinal);
        Assert.Contains(field, message, StringComparison.Ordinal);
        Assert.Contains("tokenizer.json", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_usual_WordPiece_is_made_and_what_is_unusual_is_told()
    {
        File.WriteAllText(Path.Combine(copy.Path, "vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n");
        File.WriteAllText(Path.Combine(copy.Path, "tokenizer_config.json"), """{"word_tokenizer_type": "basic", "subword_tokenizer_type": "wordpiece", "mecab_kwargs": null, "do_basic_tokenize": false}""");
        var tokenizer = Tokenizer.Load(copy.Path);
        Assert.Equal([2, 5, 1, 3], tokenizer.Encode("a ab").Ids);
        Assert.Equal(3, tokenizer.Notes.Count);
        Assert.Contains("no file names the tokenizer's class", tokenizer.Notes[0], StringComparison.Ordinal);
        Assert.Contains("$.do_basic_tokenize is false", tokenizer.Notes[1], StringComparison.Ordinal);
        Assert.Contains("no piece that begins with ##", tokenizer.Notes[2], StringComparison.Ordinal);
    }
}
