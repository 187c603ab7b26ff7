using System.Diagnostics;
using System.Text;
using CsCheck;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>What holds for every text, whatever the tokenizer.</summary>
public sealed class TokenizerPropertyTests
{
    private static readonly string[] Parts =
    [
        "a", "B", " ", "  ", "\t", "\n", "'s", "é", "e\u0301", "ß", "İ", "中", "한", "\u1112\u1161", "😀", "👩‍👧", "\uD83D", "\uDE00", "½", "ﬁ", "Ａ", "\u200B", "\u00AD",
            "\0", "\uFFFD", "\uE000", "\u2581", "Ġ", "##", "[MASK]", "<mask>", "<|endoftext|>", "</s>", "<extra_id_0>", "1", "٣", ".", "$", "-", "don't", "word", "\u0600", "\u2028", "\U000E0001", "\U0001F1E6",
    ];

    // Letters, marks, spaces, controls, emoji, halves of surrogate pairs, things that look like added tokens.
    private static readonly Gen<string> AnyText = Gen.OneOf(
        Gen.Char.Array[0, 40].Select(static c => new string(c)),
        Gen.Int[0, Parts.Length - 1].Select(static i => Parts[i])
            .Array[0, 30].Select(static parts => string.Concat(parts)));

    private static readonly string[] Families =
    [
        "bert-uncased", "gpt2", "smollm2", "t5-unigram", "xlm-roberta-unigram", "llama-bpe-legacy", "llama-bpe-new", "llama3-style", "qwen2-style", "roberta-bpe",
        "clip-style", "bigbird-style", "deberta-v3-style", "albert-style", "mpnet-style", "modernbert-style", "added-tokens-variants", "added-tokens-bytelevel",
        "ks-norm-nfkd", "ks-norm-nmt", "ks-norm-strip-accents", "ks-pre-unicode-scripts", "ks-pre-bytelevel-then-digits", "wordlevel-whitespace",
    ];

    [Theory]
    [InlineData("added-tokens-variants")]
    [InlineData("added-tokens-bytelevel")]
    [InlineData("bert-uncased")]
    public void A_long_added_token_that_does_not_occur_changes_nothing(string folder)
    {
        var plain = Load(folder);
        using var copy = new TemporaryFolder();
        TemporaryFolder.Copy(Path.Combine(TestData.Goldens, "tokenizers", folder), copy.Path);
        var file = Path.Combine(copy.Path, "tokenizer.json");
        var json = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(file))!;
        json["added_tokens"]!.AsArray().Add(SmallTokenizer.Added(1_000_000, "a" + new string('Q', 200)));
        File.WriteAllText(file, json.ToJsonString());
        var searched = Tokenizer.Load(copy.Path); // by another way, see LongestMatches
        AnyText.Sample(text =>
        {
            var (one, other) = (plain.Encode(text), searched.Encode(text));
            Assert.Equal(one.Ids, other.Ids);
            Assert.Equal(one.Offsets, other.Offsets);
        });
    }

    public static TheoryData<string> Folders() => [.. Families];

    private static Tokenizer Load(string folder) => Tokenizer.Load(Path.Combine(TestData.Goldens, "tokenizers", folder));

    /// <summary>Of a long text that is cut at the right only its beginning is looked at: the tokens are those of the whole.</summary>
    [Theory]
    [MemberData(nameof(Folders))]
    public void A_long_text_that_is_cut_has_the_beginning_of_the_whole(string folder)
    {
        var tokenizer = Load(folder);
        Gen.Select(AnyText.Array[600, 1200], Gen.Int[1, 64], Gen.Int[0, 3]).Sample(
            (parts, most, joined) =>
            {
                var text = string.Join(joined switch { 0 => "", 1 => " ", 2 => "\n", _ => " word " }, parts);
                var room = most + tokenizer.SpecialTokensToAdd(false);
                TokenEncoding? whole = null;
                try
                {
                    whole = tokenizer.Encode(text, truncation: new Truncation(room));
                }
                catch (Engine.Diagnostics.InferenceException)
                {
                    return; // a part that the vocabulary cannot express
                }

                var cut = tokenizer.Encode(text, truncation: new Truncation(room) { KeepsRest = false });
                Assert.Equal(whole.Ids, cut.Ids);
                Assert.Equal(whole.Offsets, cut.Offsets);
                Assert.Equal(whole.Tokens, cut.Tokens);
                Assert.Equal(whole.IsTruncated, cut.IsTruncated);
            },
            iter: 40);
    }

    [Theory]
    [InlineData("bert-uncased")]
    [InlineData("gpt2")]
    [InlineData("t5-unigram")]
    [InlineData("llama-bpe-legacy")]
    public void A_batch_gives_the_same_in_any_chunks(string folder)
    {
        var whole = Load(folder);
        var chunked = Load(folder); // what one text leaves in the caches must not show in the next
        Gen.Select(AnyText.Array[1, 24], Gen.Int[1, 24], Gen.Bool).Sample(
            (texts, size, backwards) =>
            {
                var expected = texts.Select(t => whole.Encode(t)).ToArray();
                var chunks = texts.Index().Chunk(size);
                foreach (var (index, text) in (backwards ? chunks.Reverse() : chunks).SelectMany(static c => c))
                {
                    var got = chunked.Encode(text);
                    Assert.Equal(expected[index].Ids, got.Ids);
                    Assert.Equal(expected[index].Offsets, got.Offsets);
                }
            },
            iter: 200,
            threads: 1);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Any_text_encodes_with_offsets_inside_it(string folder)
    {
        var tokenizer = Load(folder);
        AnyText.Sample(
            text =>
            {
                var encoding = tokenizer.Encode(text);
                for (var i = 0; i < encoding.Length; i++)
                {
                    var (start, end) = encoding.Offsets[i];
                    Assert.True(0 <= start && start <= end && end <= text.Length, $"[{start}, {end}) of {text.Length}");
                }

                Assert.Equal(encoding.Length, encoding.Tokens.Count);
                var decoded = tokenizer.Decode(encoding.Ids, skipSpecialTokens: false);
                var stream = tokenizer.DecodeStream(skipSpecialTokens: false);
                var streamed = new StringBuilder();
                foreach (var id in encoding.Ids)
                {
                    streamed.Append(stream.Push(id));
                }

                streamed.Append(stream.Flush());
                if (!decoded.Contains('\uFFFD', StringComparison.Ordinal))
                {
                    Assert.Equal(decoded, streamed.ToString());
                }
            },
            seed: "0N0XIzNsQ0O2", iter: 300, threads: 1);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("bert-uncased")]
    [InlineData("roberta-bpe")]
    [InlineData("xlm-roberta-unigram")]
    [InlineData("llama3-style")]
    public void Offsets_go_forward(string folder)
    {
        var tokenizer = Load(folder);
        AnyText.Sample(
            text =>
            {
                var encoding = tokenizer.Encode(text, addSpecialTokens: false);
                for (var i = 1; i < encoding.Length; i++)
                {
                    Assert.True(encoding.Offsets[i].Start >= encoding.Offsets[i - 1].Start && encoding.Offsets[i].End >= encoding.Offsets[i - 1].End);
                }
            },
            seed: "0N0XIzNsQ0O2", iter: 500, threads: 1);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("smollm2")]
    [InlineData("roberta-bpe")]
    [InlineData("llama3-style")]
    [InlineData("phi-style")]
    public void Byte_level_families_give_the_text_back(string folder)
    {
        var tokenizer = Load(folder);
        AnyText.Sample(
            text =>
            {
                // An added token that swallows spaces takes them along; a lone surrogate is no text.
                var well = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)).Replace("<mask>", "", StringComparison.Ordinal);
                Assert.Equal(well, tokenizer.Decode(tokenizer.Encode(well, addSpecialTokens: false).Ids, skipSpecialTokens: false));
            },
            seed: "0N0XIzNsQ0O2", iter: 1000, threads: 1);
    }

    [Theory]
    [InlineData("bert-uncased")]
    [InlineData("gpt2")]
    [InlineData("t5-unigram")]
    [InlineData("llama-bpe-new")]
    public void Sixteen_threads_and_any_order_give_the_same(string folder)
    {
        var tokenizer = Load(folder);
        var texts = GoldenTokenizerTests.Lines(Path.Combine(TestData.Goldens, "tokenizers", folder, "cases.jsonl.gz"))
            .Take(200)
            .Select(static line => System.Text.Json.JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!)
            .ToArray();
        Checks.AtLeast(200, texts.Length, "texts");
        var alone = Load(folder);
        var expected = texts.Select(t => alone.Encode(t)).ToArray();
        Parallel.For(0, 16, new ParallelOptions { MaxDegreeOfParallelism = 16 }, thread =>
        {
            for (var i = 0; i < texts.Length; i++)
            {
                var at = ((i * 7) + (thread * 13)) % texts.Length;
                var encoding = tokenizer.Encode(texts[at]);
                Assert.Equal(expected[at].Ids, encoding.Ids);
                Assert.Equal(expected[at].Offsets, encoding.Offsets);
            }
        });
    }

    [Theory]
    [InlineData("bert-uncased")]
    [InlineData("gpt2")]
    [InlineData("t5-unigram")]
    [InlineData("llama-bpe-new")]
    public void A_word_of_a_million_letters_takes_no_longer_than_its_length(string folder)
    {
        var tokenizer = Load(folder);
        foreach (var word in (string[])[new string('a', 1_000_000), string.Concat(Enumerable.Repeat("abcdefghij", 100_000))])
        {
            var watch = Stopwatch.StartNew();
            var encoding = tokenizer.Encode(word);
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(20), $"{watch.Elapsed}");
            Assert.NotEmpty(encoding.Ids);
        }
    }

    [Fact]
    public void A_lone_surrogate_is_the_replacement_character()
    {
        var tokenizer = Load("gpt2");
        Assert.Equal(tokenizer.Encode("a\uFFFDb").Ids, tokenizer.Encode("a\uD83Db").Ids);
        Assert.Equal([(0, 1), (1, 2), (2, 3)], tokenizer.Encode("a\uD83Db").Offsets);
    }

    [Fact]
    public void A_stream_never_gives_half_a_character()
    {
        var tokenizer = Load("gpt2");
        var ids = tokenizer.Encode("👩‍👧 日本語 é ok").Ids;
        var stream = tokenizer.DecodeStream();
        var text = new StringBuilder();
        foreach (var id in ids)
        {
            var part = stream.Push(id);
            Assert.DoesNotContain('\uFFFD', part);
            text.Append(part);
        }

        Assert.Equal("👩‍👧 日本語 é ok", text.Append(stream.Flush()).ToString());
    }
}
