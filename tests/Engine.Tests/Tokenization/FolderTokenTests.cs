using System.Text.Json.Nodes;
using InferenceServer.Engine.Tests.Manifest;
using InferenceServer.Engine.Tokenization;
using Xunit;
using static InferenceServer.Engine.Tests.Tokenization.SmallTokenizer;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Tokens that only other files than tokenizer.json know are added, as transformers 4.57 adds them, and told.</summary>
public sealed class FolderTokenTests
{
    private static readonly string[] Words = ["<unk>", "<s>", "a", "b", "[unused0]", "<mask>"];

    [Fact]
    public void Added_tokens_decoder_gives_tokens_by_their_ids()
    {
        using var folder = Make("""
            {"added_tokens_decoder": {"7": {"content": "<y>", "special": false}, "4": {"content": "[unused0]", "special": true}, "6": {"content": "<x>", "special": true, "lstrip": true}}}
            """);
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Equal([2, 4, 6, 7, 3], tokenizer.Encode("a [unused0] <x> <y> b").Ids);
        Assert.Equal(["a", "[unused0]", " <x>", "<y>", "b"], tokenizer.Encode("a [unused0] <x> <y> b").Tokens);
        Assert.Equal([1, 4, 6], tokenizer.SpecialIds.Order());
        Assert.Equal(8, tokenizer.VocabularySize);
        var note = Assert.Single(tokenizer.Notes);
        Assert.StartsWith("tokenizer_config.json: $.added_tokens_decoder: names '[unused0]' (id 4), '<x>' (id 6), '<y>' (id 7), which tokenizer.json does not list", note, StringComparison.Ordinal);
    }

    [Fact]
    public void Ids_are_given_in_order_whatever_the_file_says()
    {
        using var folder = Make("""{"added_tokens_decoder": {"90": {"content": "<y>"}, "80": {"content": "<x>"}}}""");
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Equal([6, 7], tokenizer.Encode("<x><y>").Ids);
        Assert.Contains("'<x>' (id 6, where the file says 80", Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
    }

    [Fact]
    public void Special_tokens_map_counts_without_the_decoder_and_replaces_the_configuration()
    {
        using var folder = Make("""{"pad_token": "<old>", "additional_special_tokens": ["<z>"]}""")
            .Write("special_tokens_map.json", """{"pad_token": {"content": "<pad>", "normalized": false}, "mask_token": "<mask>", "additional_special_tokens": ["<x>", {"content": "<y>", "rstrip": true}]}""");
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Equal([6, 5, 7, 8, 9, 2], tokenizer.Encode("<pad><mask><x><y><z>  a").Ids.Where(id => id != 0));
        Assert.Null(tokenizer.TokenToId("<old>"));
        Assert.Equal("<pad>", tokenizer.Named.Pad?.Text);
        Assert.Contains(tokenizer.Notes, note => note.StartsWith("special_tokens_map.json: $.mask_token: names '<mask>' (id 5)", StringComparison.Ordinal));
        Assert.Contains(tokenizer.Notes, note => note.StartsWith("special_tokens_map.json: $.pad_token: names '<pad>' (id 6)", StringComparison.Ordinal));
        Assert.Contains(tokenizer.Notes, note => note.StartsWith("tokenizer_config.json: $.additional_special_tokens: names '<z>' (id 9)", StringComparison.Ordinal));
    }

    [Fact]
    public void With_the_decoder_special_tokens_map_and_added_tokens_are_not_read()
    {
        using var folder = Make("""{"added_tokens_decoder": {}, "pad_token": "<pad>"}""")
            .Write("special_tokens_map.json", """{"mask_token": "<mask>"}""")
            .Write("added_tokens.json", """{"<x>": 6}""");
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Null(tokenizer.TokenToId("<x>"));
        Assert.DoesNotContain(5, tokenizer.SpecialIds);
        Assert.Equal(6, tokenizer.TokenToId("<pad>"));
    }

    [Fact]
    public void Added_tokens_json_gives_tokens_that_are_special_when_they_have_a_role()
    {
        using var folder = Make("""{"pad_token": "<pad>"}""").Write("added_tokens.json", """{"<pad>": 7, "<X>": 6, "<s>": 1}""");
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Equal([6, 7], tokenizer.Encode("<X><pad>").Ids);
        Assert.Equal([1, 7], tokenizer.SpecialIds.Order());
        Assert.Contains("added_tokens.json: names '<X>' (id 6), '<pad>' (id 7)", Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
    }

    [Fact]
    public void A_classs_own_special_tokens_are_added_where_the_vocabulary_has_them()
    {
        using var folder = Make("""{"tokenizer_class": "RobertaTokenizer"}""");
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Equal([2, 5], tokenizer.Encode("a <mask>").Ids);
        Assert.Equal([(0, 1), (1, 8)], tokenizer.Encode("a <mask>").Offsets); // the mask takes the space before it
        Assert.Null(tokenizer.TokenToId("</s>"));
        Assert.Contains(tokenizer.Notes, note => note.Contains("the RobertaTokenizer of transformers has the mask_token: names '<mask>' (id 5)", StringComparison.Ordinal));
    }

    [Fact]
    public void Other_flags_of_a_token_that_both_files_list_are_told_and_followed_when_asked()
    {
        using var folder = Make("""{"added_tokens_decoder": {"1": {"content": "<s>", "special": true, "normalized": false, "lstrip": true}}}""");
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Contains("gives '<s>' the flags special, lstrip, but tokenizer.json has special", Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
        Assert.Equal(["a", "<s>"], tokenizer.Encode("a <s>").Tokens);
        Assert.Equal(["a", " <s>"], Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow).Encode("a <s>").Tokens);
    }

    [Fact]
    public void What_tokenizer_json_lists_is_not_told()
    {
        using var folder = Make("""{"added_tokens_decoder": {"1": {"content": "<s>", "special": true, "normalized": false}}, "bos_token": "<s>", "extra_special_tokens": {}, "unk_token": null}""");
        Assert.Empty(Tokenizer.Load(folder.Path).Notes);
    }

    // Read off the reference's own library (tokenizers 0.22.2): tokens that are listed twice with different flags.
    [Theory]
    [InlineData("X:n X:n,l", "a X b", "0-1 1-3 4-5", "")] // the later flags count
    [InlineData("X:n,l X:n", "a X b", "0-1 2-3 4-5", "")]
    [InlineData("X:n X:s,l", "a X b", "0-1 1-3 4-5", "X")]
    [InlineData("X:s,l X:n", "a X b", "0-1 2-3 4-5", "X")] // special all the same
    [InlineData("X:n,norm X:s", "a x X b", "0-1 2-3 4-5 6-7", "X", "a <unk> X b")] // the special one alone is searched for
    [InlineData("X:n,norm X:n", "a x X b", "0-1 2-3 4-5 6-7", "", "a x X b")] // both are
    [InlineData("X:s,norm X:n", "a x X b", "0-1 2-3 4-5 6-7", "X", "a x x b")]
    public void Tokens_that_are_listed_twice(string tokens, string text, string offsets, string special, string? strings = null)
    {
        var added = tokens.Split(' ').Select(token =>
        {
            var flags = token.Split(':')[1].Split(',');
            return Added(9, token.Split(':')[0], flags.Contains("s"), flags.Contains("norm"), flags.Contains("l"));
        });
        using var folder = new Folder(("tokenizer.json", Json(
            SmallTokenizer.Words("<unk>", "a", "b"), strings is null ? null : Of("Lowercase"), Of("Whitespace"), null, null, [.. added]).ToJsonString()));
        var tokenizer = Tokenizer.Load(folder.Path);
        var encoding = tokenizer.Encode(text);
        Assert.Equal(offsets, string.Join(' ', encoding.Offsets.Select(static o => $"{o.Start}-{o.End}")));
        Assert.Equal(special, string.Concat(tokenizer.SpecialIds.Select(tokenizer.IdToToken)));
        Assert.Equal(strings ?? string.Join(' ', encoding.Tokens), string.Join(' ', encoding.Tokens));
    }

    private static Folder Make(string config) => new(
        ("tokenizer.json", Json(SmallTokenizer.Words(Words), Of("Lowercase"), Of("WhitespaceSplit"), null, null, Added(1, "<s>")).ToJsonString()), ("tokenizer_config.json", config));
}
