using System.Buffers;
using System.Text.Json;
using CsCheck;
using InferenceServer.Engine.Tests.Manifest;
using InferenceServer.Engine.Tokenization;
using Microsoft.ML.Tokenizers;
using Xunit;
using static InferenceServer.Engine.Tests.Tokenization.SmallTokenizer;
using Tokenizer = InferenceServer.Engine.Tokenization.Tokenizer;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>The adapter by the contract of <see cref="Microsoft.ML.Tokenizers.Tokenizer"/>, and beside that library's own tokenizers where both agree.</summary>
public sealed class TokenizerAdapterTests
{
    private static readonly string[] Pieces =
    [
        "hello", "world", "a", "b", " ", "  ", "é", "e\u0301", "中文", "한국", "😀", "👩‍👧", "[MASK]", "<mask>", "<|endoftext|>", "</s>", ".", "don't", "\n", "½", "x\u00ADy", "\uD83D", "unbelievable",
    ];

    private static readonly string[] WholeWords = ["hello", "world", "the", "cats", "house"];

    private static readonly Gen<string> AnyText = Gen.Int[0, Pieces.Length - 1].Select(static i => Pieces[i]).Array[0, 12].Select(static parts => string.Concat(parts));

    public static TheoryData<string> Folders() => ["bert-uncased", "gpt2", "smollm2", "t5-unigram", "llama-bpe-legacy", "xlm-roberta-unigram", "roberta-bpe", "clip-style", "albert-style", "modernbert-style"];

    [Fact]
    public void Documented_example()
    {
        using var folder = new Folder(("tokenizer.json", Json(
            WordPiece("[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "four"), BertNormalizer(), Of("BertPreTokenizer"), null, Of("WordPiece", ("prefix", "##"), ("cleanup", true))).ToJsonString()));

        // docs/tokenization.md, "As a Microsoft.ML.Tokenizers.Tokenizer"
        Microsoft.ML.Tokenizers.Tokenizer tokenizer = new TokenizerAdapter(Tokenizer.Load(folder.Path));
        const string Prompt = "One two three four";
        var tokens = tokenizer.CountTokens(Prompt);
        var start = Prompt[..tokenizer.GetIndexByTokenCount(Prompt, maxTokenCount: 2, out _, out _)];
        var end = Prompt[tokenizer.GetIndexByTokenCountFromEnd(Prompt, maxTokenCount: 2, out _, out _)..];

        Assert.Equal(4, tokens);
        Assert.Equal("One two", start);
        Assert.Equal("three four", end);
        Assert.Equal("one two three four", tokenizer.Decode(tokenizer.EncodeToIds(Prompt)));
        Assert.Null(tokenizer.Normalizer);
        Assert.Null(tokenizer.PreTokenizer);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Ids_tokens_and_counts_are_those_of_the_tokenizer_without_special_tokens(string folder)
    {
        var inner = Load(folder);
        var adapter = new TokenizerAdapter(inner);
        AnyText.Sample(
            text =>
            {
                var expected = inner.Encode(text, addSpecialTokens: false);
                Assert.Equal(expected.Ids, adapter.EncodeToIds(text));
                Assert.Equal(expected.Ids, adapter.EncodeToIds(text.AsSpan()));
                Assert.Equal(expected.Length, adapter.CountTokens(text));
                Assert.Equal(expected.Length, adapter.CountTokens(text.AsSpan()));
                var tokens = adapter.EncodeToTokens(text, out var normalized);
                Assert.Null(normalized);
                Assert.Equal(expected.Ids, tokens.Select(static t => t.Id));
                Assert.Equal(expected.Tokens, tokens.Select(static t => t.Value));
                Assert.All(tokens, token =>
                {
                    var (start, end) = (token.Offset.Start.Value, token.Offset.End.Value);
                    Assert.InRange(start, 0, end);
                    Assert.InRange(end, start, text.Length);
                });
            },
            iter: 150,
            threads: 1);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void A_cut_text_has_no_more_tokens_than_asked_for(string folder)
    {
        var adapter = new TokenizerAdapter(Load(folder));
        Gen.Select(AnyText, Gen.Int[1, 12]).Sample(
            (text, most) =>
            {
                var all = adapter.CountTokens(text);
                var index = adapter.GetIndexByTokenCount(text, most, out _, out var count);
                var last = adapter.GetIndexByTokenCountFromEnd(text, most, out _, out var countFromEnd);
                Assert.InRange(count, 0, most);
                Assert.InRange(countFromEnd, 0, most);
                Assert.True(adapter.CountTokens(text[..index]) <= most);
                Assert.True(adapter.CountTokens(text[last..]) <= most);
                if (all <= most)
                {
                    Assert.Equal((text.Length, 0, all, all), (index, last, count, countFromEnd));
                }

                if (count == 0 && all > most)
                {
                    Assert.Equal(0, index);
                }

                if (countFromEnd == 0 && all > most)
                {
                    Assert.Equal(text.Length, last);
                }

                Assert.False(InsidePair(text, index) || InsidePair(text, last));
                Assert.Equal(index, adapter.GetIndexByTokenCount(text.AsSpan(), most, out _, out _));

                var ids = adapter.EncodeToIds(text, most, out _, out var consumed);
                Assert.True(ids.Count <= most);
                Assert.Equal(adapter.EncodeToIds(text).Take(ids.Count), ids);
                Assert.InRange(consumed, 0, text.Length);
            },
            iter: 150,
            threads: 1);

        static bool InsidePair(string text, int index) => index > 0 && index < text.Length && char.IsSurrogatePair(text[index - 1], text[index]);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Decoding_into_a_buffer_gives_as_much_as_fits(string folder)
    {
        var adapter = new TokenizerAdapter(Load(folder));
        Gen.Select(AnyText, Gen.Int[0, 40]).Sample(
            (text, size) =>
            {
                var ids = adapter.EncodeToIds(text);
                var whole = adapter.Decode(ids);
                Assert.Equal(whole, adapter.Inner.Decode([.. ids], skipSpecialTokens: false));
                var buffer = new char[size];
                var status = adapter.Decode(ids, buffer, out var consumed, out var written);
                Assert.Equal(whole.Length <= size ? OperationStatus.Done : OperationStatus.DestinationTooSmall, status);
                Assert.InRange(written, 0, size);
                Assert.Equal(whole[..written], new string(buffer, 0, written));
                Assert.InRange(consumed, 0, ids.Count);
                if (status == OperationStatus.Done)
                {
                    Assert.Equal((ids.Count, whole.Length), (consumed, written));
                }
            },
            iter: 150,
            threads: 1);
    }

    [Fact]
    public void An_id_that_does_not_exist_ends_the_decoding()
    {
        var adapter = new TokenizerAdapter(Small());
        var buffer = new char[20];
        Assert.Equal(OperationStatus.InvalidData, adapter.Decode([3, 99, 4], buffer, out var consumed, out var written));
        Assert.Equal((1, "a"), (consumed, new string(buffer, 0, written)));
        Assert.Equal("a b", adapter.Decode([3, 99, 4]));
        Assert.Throws<ArgumentNullException>(() => adapter.Decode(null!));
        Assert.Throws<ArgumentNullException>(() => new TokenizerAdapter(null!));
    }

    [Fact]
    public void Without_normalization_and_pre_tokenization()
    {
        var adapter = new TokenizerAdapter(Small());
        Assert.Equal([3, 4], adapter.EncodeToIds("A b"));
        Assert.Equal([0, 4], adapter.EncodeToIds("A b", considerNormalization: false));
        Assert.Equal([0], adapter.EncodeToIds("a b", considerPreTokenization: false)); // one word, which the vocabulary lacks
    }

    [Fact]
    public void Bytes_are_written_without_the_splitting()
    {
        using var folder = new Folder(("tokenizer.json", Json(Bpe(["a", "b", "Ġ", "Ġb", "aĠ"], "a Ġ", "Ġ b"), null, ByteLevel()).ToJsonString()));
        var adapter = new TokenizerAdapter(Tokenizer.Load(folder.Path));
        Assert.Equal([0, 3], adapter.EncodeToIds("a b"));
        Assert.Equal([4, 1], adapter.EncodeToIds("a b", considerPreTokenization: false));
    }

    [Fact]
    public void WordPiece_of_the_library_gives_the_same()
    {
        var folder = Path.Combine(TestData.Goldens, "tokenizers", "bert-uncased");
        var library = WordPieceTokenizer.Create(Path.Combine(folder, "vocab.txt"), new WordPieceOptions { MaxInputCharsPerWord = 100, UnknownToken = "[UNK]", PreTokenizer = PreTokenizer.CreateWordOrNonWord() });
        Same(library, new TokenizerAdapter(Tokenizer.Load(folder)), WholeWords); // the library's WordPiece leaves a word out that does not fit as a whole
    }

    [Fact]
    public void Byte_level_BPE_of_the_library_gives_the_same()
    {
        var folder = Path.Combine(TestData.Goldens, "tokenizers", "gpt2");
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "tokenizer.json")));
        var model = document.RootElement.GetProperty("model");
        var library = BpeTokenizer.Create(new BpeOptions(model.GetProperty("vocab").EnumerateObject().ToDictionary(static m => m.Name, static m => m.Value.GetInt32()))
        {
            Merges = model.GetProperty("merges").EnumerateArray().Select(static m => m.GetString()!).ToArray(),
            ByteLevel = true,
            PreTokenizer = new RegexPreTokenizer(new System.Text.RegularExpressions.Regex(@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"), null),
        });
        Same(library, new TokenizerAdapter(Tokenizer.Load(folder)), [.. WholeWords, "embeddings", "tokenizer", "unbelievable"]);
    }

    // Words, single spaces and full stops: the library's own pre-tokenizers cut these as the reference does.
    private static void Same(Microsoft.ML.Tokenizers.Tokenizer library, TokenizerAdapter adapter, string[] words) => Gen.Select(
        Gen.Int[0, words.Length - 1].Array[1, 10].Select(chosen => string.Join(' ', chosen.Select(i => words[i])) + "."), Gen.Int[1, 25]).Sample(
        (text, most) =>
        {
            Assert.Equal(library.EncodeToIds(text), adapter.EncodeToIds(text));
            Assert.Equal(library.CountTokens(text), adapter.CountTokens(text));
            Assert.Equal(library.EncodeToTokens(text, out _).Select(static t => (t.Id, t.Offset)), adapter.EncodeToTokens(text, out _).Select(static t => (t.Id, t.Offset)));
            Assert.Equal(library.EncodeToIds(text, most, out _, out var consumed), adapter.EncodeToIds(text, most, out _, out var own));
            if (library is not WordPieceTokenizer)
            {
                Assert.Equal(consumed, own); // the library's WordPiece counts to where its last word begins
            }

            var (first, last) = (library.GetIndexByTokenCount(text, most, out _, out var count), library.GetIndexByTokenCountFromEnd(text, most, out _, out var countFromEnd));
            var (ownFirst, ownLast) = (adapter.GetIndexByTokenCount(text, most, out _, out var ownCount), adapter.GetIndexByTokenCountFromEnd(text, most, out _, out var ownFromEnd));
            Assert.Equal((count, countFromEnd), (ownCount, ownFromEnd));
            if (library is WordPieceTokenizer)
            {
                // A space that belongs to no token is now kept, now left out by the library.
                Assert.Equal((text[..first].TrimEnd(), text[last..].TrimStart()), (text[..ownFirst], text[ownLast..]));
            }
            else
            {
                Assert.Equal((first, last), (ownFirst, ownLast));
            }
        },
        iter: 300,
        threads: 1);

    private static Tokenizer Load(string folder) => Tokenizer.Load(Path.Combine(TestData.Goldens, "tokenizers", folder));

    private static Tokenizer Small()
    {
        using var folder = new Folder(("tokenizer.json", Json(Words("[UNK]", "[CLS]", "[SEP]", "a", "b"), Of("Lowercase"), Of("Whitespace")).ToJsonString()));
        return Tokenizer.Load(folder.Path);
    }
}
