using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>
/// Places where this implementation once differed from the reference, each with a tokenizer as small as it can be. What is
/// expected was read off the reference's own library (tokenizers 0.22.2).
/// </summary>
public sealed class ReferenceDifferencesTests
{
    [Fact]
    public void A_unigram_list_with_a_token_twice_counts_both_and_keeps_both_places()
    {
        var tokenizer = Load(new JsonObject
        {
            ["added_tokens"] = new JsonArray(Added("[X]")),
            ["model"] = new JsonObject
            {
                ["type"] = "Unigram",
                ["unk_id"] = 0,
                ["vocab"] = new JsonArray(Scored("<unk>", 0), Scored("a", -1), Scored("b", -2), Scored("a", -3)),
            },
        });

        // The last of the equal tokens is found; the added token's id follows the whole list, not the distinct tokens.
        Assert.Equal([3, 2, 4], tokenizer.Encode("ab[X]").Ids);
        Assert.Equal("a", tokenizer.IdToToken(1));
    }

    [Theory]
    [InlineData(0xF0000)]
    [InlineData(0xF1234)]
    [InlineData(0xFFFFD)]
    [InlineData(0x100001)]
    [InlineData(0x10FFFD)]
    public void Clean_text_removes_private_use_of_the_last_two_planes(int codePoint) =>
        Assert.Equal(["ab"], Normalized(new JsonObject { ["type"] = "BertNormalizer" }, "a" + char.ConvertFromUtf32(codePoint) + "b"));

    [Fact]
    public void An_added_token_inside_the_spaces_that_the_one_before_swallowed_is_nothing()
    {
        var tokenizer = Load(new JsonObject
        {
            ["added_tokens"] = new JsonArray(Added("[X]", strip: true), Added("  ", lstrip: true)),
            ["model"] = Words("<unk>"),
        });

        Assert.Equal(["<unk>", "[X]  ", "<unk>"], tokenizer.Encode("a[X]  b").Tokens);
        Assert.Equal([0, 1, 0], tokenizer.Encode("a[X]   b").Ids); // the reference crashes here
    }

    [Fact]
    public void Of_added_tokens_that_normalise_to_the_same_text_a_special_one_wins_then_the_first()
    {
        var tokenizer = Load(new JsonObject
        {
            ["normalizer"] = new JsonObject { ["type"] = "Lowercase" },
            ["added_tokens"] = new JsonArray(
                Added("A", normalized: true), Added("a", normalized: true, special: true), Added("B", normalized: true), Added("b", normalized: true)),
            ["model"] = Words("<unk>"),
        });

        Assert.Equal([2, 3], tokenizer.Encode("ab").Ids);
    }

    [Fact]
    public void An_added_token_that_normalises_to_nothing_cuts_between_all_characters()
    {
        var tokenizer = Load(new JsonObject
        {
            ["normalizer"] = new JsonObject { ["type"] = "Strip", ["strip_left"] = true, ["strip_right"] = true },
            ["added_tokens"] = new JsonArray(Added("\n", normalized: true)),
            ["model"] = Words("<unk>", "a", "b"),
        });

        Assert.Equal([1, 2, 1], tokenizer.Encode("aba").Ids);
        Assert.Equal([1, 0, 1], tokenizer.Encode("aéa").Ids); // the reference crashes here
        Assert.Empty(tokenizer.Encode("").Ids);
    }

    [Fact]
    public void BertProcessing_behind_RobertaProcessing_keeps_the_segments()
    {
        var tokenizer = Load(new JsonObject
        {
            ["model"] = Words("<unk>", "a"),
            ["post_processor"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["processors"] = new JsonArray(
                    new JsonObject { ["type"] = "RobertaProcessing", ["sep"] = new JsonArray("s", 5), ["cls"] = new JsonArray("c", 6) },
                    new JsonObject { ["type"] = "BertProcessing", ["sep"] = new JsonArray("s", 7), ["cls"] = new JsonArray("c", 8) }),
            },
        });

        var encoding = tokenizer.Encode("a", "a");
        Assert.Equal([8, 6, 1, 5, 7, 5, 1, 5, 7], encoding.Ids);
        Assert.Equal([0, 0, 0, 0, 0, 0, 0, 0, 1], encoding.TypeIds);
    }

    [Fact]
    public void What_is_put_in_front_stands_at_the_start_of_the_text_even_if_its_first_character_went()
    {
        var tokenizer = Load(new JsonObject
        {
            ["normalizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["normalizers"] = new JsonArray(new JsonObject { ["type"] = "BertNormalizer" }, Replace("^")),
            },
            ["pre_tokenizer"] = new JsonObject { ["type"] = "Split", ["pattern"] = new JsonObject { ["String"] = "#" }, ["behavior"] = "Isolated", ["invert"] = false },
            ["model"] = Words("<unk>"),
        });

        Assert.Equal([(0, 0), (1, 2)], tokenizer.Encode("\0a").Offsets);
    }

    [Theory]
    [InlineData(@"\w", "½", true)]
    [InlineData(@"[\w]", "½", false)]
    [InlineData(@"[^\s\w]", "²", true)]
    [InlineData(@"[[:word:]]", "¾", false)]
    [InlineData(@"[\p{Word}]", "¹", false)]
    [InlineData(@"\p{Word}", "¹", true)]
    [InlineData(@"\p{Punct}", "+", false)]
    [InlineData(@"[[:punct:]]", "+", true)]
    [InlineData(@"\p{PosixPunct}", "+", true)]
    [InlineData(@"\p{Ll}", "\u0295", true)]
    [InlineData(@"\p{Lo}", "\u0295", false)]
    [InlineData(@"\p{Extended_Pictographic}", "\u2605", true)]
    [InlineData(@"\p{Diacritic}", "\u1D9C", false)]
    [InlineData(@"(?i)\p{Lu}", "a", false)]
    [InlineData(@"(?i)[\p{Lu}]", "a", true)]
    [InlineData(@"\o{101}", "A", true)]
    public void Regular_expressions_match_as_Oniguruma_does(string pattern, string text, bool matches) =>
        Assert.Equal(matches ? "#" : text, Normalized(Replace(pattern), text).Single());

    [Fact]
    public void Bytes_that_are_not_text_are_tokens_of_their_own_for_the_next_decoder()
    {
        var tokenizer = Load(new JsonObject
        {
            ["model"] = Words("<unk>", "<0xE2>", "<0x82>"),
            ["decoder"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["decoders"] = new JsonArray(
                    new JsonObject { ["type"] = "ByteFallback" }, new JsonObject { ["type"] = "WordPiece", ["prefix"] = "##", ["cleanup"] = false }),
            },
        });

        Assert.Equal("\uFFFD \uFFFD", tokenizer.Decode([1, 2]));
    }

    [Theory]
    [InlineData("(?i)ß")] // matches ss as well
    [InlineData("(?i)strasse")] // matches straße as well
    [InlineData("(?i:first)")] // matches ﬁrst as well
    public void Case_folding_to_several_characters_is_refused(string pattern)
    {
        var error = Assert.Throws<ModelLoadException>(() => Normalized(Replace(pattern), "a"));
        Assert.Contains("$.normalizer.pattern.Regex", error.Message, StringComparison.Ordinal);
        Assert.Contains("without regard to case", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Unicode_scripts_takes_the_Armenian_full_stop_for_common()
    {
        var tokenizer = Load(new JsonObject
        {
            ["pre_tokenizer"] = new JsonObject { ["type"] = "UnicodeScripts" },
            ["model"] = Words("<unk>"),
        });

        Assert.Equal([0, 1], tokenizer.Encode("\u0531\u0589").WordIds);
        Assert.Equal([0], tokenizer.Encode("!\u0589").WordIds);
    }

    private static JsonObject Replace(string pattern) =>
        new() { ["type"] = "Replace", ["pattern"] = new JsonObject { ["Regex"] = pattern }, ["content"] = "#" };

    // The normalised text, as the one token that an unknown text is.
    private static IReadOnlyList<string> Normalized(JsonObject normalizer, string text) => Load(new JsonObject
    {
        ["normalizer"] = normalizer,
        ["model"] = new JsonObject { ["type"] = "Unigram", ["unk_id"] = 0, ["vocab"] = new JsonArray(Scored("<unk>", 0)) },
    }).Encode(text).Tokens;

    private static JsonArray Scored(string token, double score) => new(token, score);

    private static JsonObject Words(params string[] tokens)
    {
        var vocabulary = new JsonObject();
        foreach (var token in tokens)
        {
            vocabulary[token] = vocabulary.Count;
        }

        return new JsonObject { ["type"] = "WordLevel", ["vocab"] = vocabulary, ["unk_token"] = tokens[0] };
    }

    private static JsonObject Added(string content, bool normalized = false, bool special = false, bool strip = false, bool lstrip = false) => new()
    {
        ["id"] = 0,
        ["content"] = content,
        ["single_word"] = false,
        ["lstrip"] = lstrip || strip,
        ["rstrip"] = strip,
        ["normalized"] = normalized,
        ["special"] = special,
    };

    private static Tokenizer Load(JsonObject json) => new(
        TokenizerReader.Parse(System.Text.Encoding.UTF8.GetBytes(json.ToJsonString())), new TokenizerConfig(Path.GetTempPath()));
}
