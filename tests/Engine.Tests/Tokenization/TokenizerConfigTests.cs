using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tests.Manifest;
using InferenceServer.Engine.Tokenization;
using Xunit;
using static InferenceServer.Engine.Tests.Tokenization.SmallTokenizer;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>
/// tokenizer_config.json that says something else than tokenizer.json: tokenizer.json counts and the difference is told; with Follow it is as the fast tokenizer
/// of the class in transformers 4.57 has it.
/// </summary>
public sealed class TokenizerConfigTests
{
    private static readonly string[] Cased = ["[UNK]", "[CLS]", "[SEP]", "A", "a", "é", "e", "É", "中", "文", "中文"];

    private static readonly string[] Bytes = ["<s>", "</s>", "<unk>", "a", "b", "Ġ", "Ġa", "Ġb"];

    [Theory]
    [InlineData("BertTokenizer", true, null, true, "{\"do_lower_case\": false}", "$.do_lower_case is false", "A é 中文", "4 6 8 9", "3 5 8 9")]
    [InlineData("BertTokenizerFast", false, null, true, "{\"do_lower_case\": true}", "$.do_lower_case is true", "A é", "3 5", "4 6")]
    [InlineData("BertTokenizer", false, null, true, "{}", "$.do_lower_case is missing, which BertTokenizerFast of transformers reads as true", "A é", "3 5", "4 6")]
    [InlineData("BertTokenizer", true, null, true, "{\"strip_accents\": false}", "$.strip_accents is false", "É", "6", "5")]
    [InlineData("BertTokenizer", false, null, true, "{\"do_lower_case\": false, \"strip_accents\": true}", "$.strip_accents is true", "É é", "7 5", "0 6")] // É without its accent is E, which the vocabulary lacks
    [InlineData("BertTokenizer", true, null, true, "{\"tokenize_chinese_chars\": false}", "$.tokenize_chinese_chars is false", "中文", "8 9", "10")]
    [InlineData("DistilBertTokenizer", true, null, false, "{}", "$.tokenize_chinese_chars is missing", "中文", "10", "8 9")]
    [InlineData("MPNetTokenizer", true, null, true, "{\"do_lower_case\": false}", "$.do_lower_case is false", "A", "4", "3")]
    public void Normalisation(string name, bool lower, bool? accents, bool chinese, string config, string told, string text, string own, string follow)
    {
        using var folder = Bert(BertNormalizer(lower, accents, chinese), config, name);
        Differs(folder, told, text, own, follow);
    }

    [Theory]
    [InlineData("BertTokenizer", "{\"do_lower_case\": true}")]
    [InlineData("BertTokenizer", "{}")]
    [InlineData("BertTokenizer", "{\"strip_accents\": null, \"tokenize_chinese_chars\": true}")]
    [InlineData("BertTokenizer", "{\"strip_accents\": true}")] // says what lower-casing implies
    [InlineData("PreTrainedTokenizerFast", "{}")]
    public void What_agrees_is_not_told(string name, string config)
    {
        using var folder = Bert(BertNormalizer(), config, name);
        Assert.Empty(Tokenizer.Load(folder.Path).Notes);
        Assert.Empty(Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow).Notes);
    }

    [Fact]
    public void The_class_comes_from_config_json_where_tokenizer_config_json_names_none()
    {
        using var folder = Bert(BertNormalizer(lowercase: false), "{}", null).Write("config.json", """{"model_type": "bert"}""");
        Differs(folder, "which the fast tokenizer that transformers has for model_type bert reads as true", "A", "3", "4");
    }

    [Theory]
    [InlineData("PreTrainedTokenizerFast", "{\"do_lower_case\": false}", "$.do_lower_case is false")]
    [InlineData("AlbertTokenizer", "{\"keep_accents\": true}", "$.keep_accents is true")]
    [InlineData("DebertaV2Tokenizer", "{\"do_lower_case\": false}", "$.do_lower_case is false")]
    public void What_transformers_does_not_read_either_is_told_as_such(string name, string config, string told)
    {
        using var folder = Bert(BertNormalizer(), config, name);
        foreach (var use in (TokenizerConfigUse[])[TokenizerConfigUse.Tokenizer, TokenizerConfigUse.Follow])
        {
            var tokenizer = Tokenizer.Load(folder.Path, use);
            var note = Assert.Single(tokenizer.Notes);
            Assert.Contains(told, note, StringComparison.Ordinal);
            Assert.Contains("does not read that field", note, StringComparison.Ordinal);
            Assert.Equal([4, 6], tokenizer.Encode("A é", addSpecialTokens: false).Ids);
        }
    }

    [Theory]
    [InlineData("RobertaTokenizer", false, "{\"add_prefix_space\": true}", "$.add_prefix_space is true", "3", "6")]
    [InlineData("GPT2Tokenizer", false, "{\"add_prefix_space\": true}", "$.add_prefix_space is true", "3", "6")]
    [InlineData("GPT2Tokenizer", true, "{}", "$.add_prefix_space is missing", "6", "3")]
    [InlineData("PreTrainedTokenizerFast", true, "{\"add_prefix_space\": false}", "$.add_prefix_space is false", "6", "3")] // every class sets it
    public void A_space_before_the_text(string name, bool prefix, string config, string told, string own, string follow)
    {
        using var folder = ByteBpe(ByteLevel(prefix), null, config, name);
        Differs(folder, told, "a", own, follow);
    }

    [Fact]
    public void Null_leaves_the_space_before_the_text_as_it_is()
    {
        using var folder = ByteBpe(ByteLevel(true), null, """{"add_prefix_space": null}""", "GPT2Tokenizer");
        Assert.Empty(Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow).Notes);
    }

    [Fact]
    public void A_ByteLevel_in_a_sequence_is_left_as_it_is()
    {
        using var folder = ByteBpe(Of("Sequence", ("pretokenizers", new JsonArray(ByteLevel()))), null, """{"add_prefix_space": true}""", "Qwen2Tokenizer");
        var tokenizer = Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow);
        Assert.Contains("does not read that field", Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
        Assert.Equal([3], tokenizer.Encode("a").Ids);
    }

    [Theory]
    [InlineData(false, "{\"trim_offsets\": true}", "$.trim_offsets is true", "1-3", "2-3")]
    [InlineData(true, "{\"trim_offsets\": false}", "$.trim_offsets is false", "2-3", "1-3")]
    [InlineData(false, "{}", "$.trim_offsets is missing", "1-3", "2-3")]
    public void Offsets_of_the_Roberta_family(bool trims, string config, string told, string own, string follow)
    {
        var processor = Of("RobertaProcessing", ("sep", new JsonArray("</s>", 1)), ("cls", new JsonArray("<s>", 0)), ("trim_offsets", trims), ("add_prefix_space", false));
        using var folder = ByteBpe(ByteLevel(), processor, config, "RobertaTokenizer");
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Contains(told, Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
        Assert.Equal(own, Offsets(tokenizer));
        Assert.Equal(follow, Offsets(Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow)));

        static string Offsets(Tokenizer tokenizer) => tokenizer.Encode("a b").Offsets[2] is var (start, end) ? $"{start}-{end}" : "";
    }

    [Theory]
    [InlineData("LlamaTokenizer", "<s>:0 $A:0", "{\"add_eos_token\": true}", "$.add_eos_token is true", "0 3", "0 3 1")]
    [InlineData("LlamaTokenizer", "<s>:0 $A:0", "{\"add_bos_token\": false}", "$.add_bos_token is false", "0 3", "3")]
    [InlineData("LlamaTokenizer", "$A:0", "{}", "$.add_bos_token is missing", "3", "0 3")]
    [InlineData("GPTNeoXTokenizer", "$A:0", "{\"add_bos_token\": true, \"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}", "$.add_bos_token is true", "3", "0 3")]
    [InlineData("GemmaTokenizer", "<s>:0 $A:0", "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_eos_token\": true}", "$.add_eos_token is true", "0 3", "0 3 1")]
    public void Tokens_at_the_ends(string name, string single, string config, string told, string own, string follow)
    {
        using var folder = ByteBpe(ByteLevel(), Template(Bytes, single, single + " " + single.Replace(":0", ":1", StringComparison.Ordinal).Replace("$A", "$B", StringComparison.Ordinal)), config, name);
        Differs(folder, told, "a", own, follow, addSpecialTokens: true);
    }

    [Fact]
    public void A_pair_that_the_class_joins_in_another_way_is_told()
    {
        using var folder = ByteBpe(ByteLevel(), Template(Bytes, "<s>:0 $A:0", "<s>:0 $A:0 $B:1"), "{}", "LlamaTokenizer");
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Contains("joins a pair of texts as '<s>:0 $A:0 <s>:1 $B:1'", Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
        Assert.Equal([0, 3, 4], tokenizer.Encode("a", "b").Ids);
        Assert.Equal([0, 3, 0, 4], Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow).Encode("a", "b").Ids);
    }

    [Fact]
    public void Add_bos_token_of_GPT2_is_not_read_by_its_fast_tokenizer()
    {
        using var folder = ByteBpe(ByteLevel(), null, """{"add_bos_token": true, "bos_token": "<s>"}""", "GPT2Tokenizer");
        Assert.Contains(Tokenizer.Load(folder.Path).Notes, note => note.Contains("$.add_bos_token is true", StringComparison.Ordinal) && note.Contains("does not read that field", StringComparison.Ordinal));
        Assert.Equal([3], Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow).Encode("a").Ids);
    }

    [Fact]
    public void Ends_without_a_token_cannot_be_followed()
    {
        using var folder = ByteBpe(ByteLevel(), null, """{"add_bos_token": true, "bos_token": null}""", "LlamaTokenizer");
        Assert.Contains("names that token", Assert.Throws<ModelLoadException>(() => Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_prefix_space_of_Llama_needs_the_SentencePiece_model()
    {
        using var folder = ByteBpe(ByteLevel(), Template(Bytes, "<s>:0 $A:0", "<s>:0 $A:0 <s>:1 $B:1"), """{"add_prefix_space": true}""", "LlamaTokenizer");
        Assert.Contains("$.add_prefix_space is true", Assert.Single(Tokenizer.Load(folder.Path).Notes), StringComparison.Ordinal);
        Assert.Contains("SentencePiece model", Assert.Throws<ModelLoadException>(() => Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_note_names_the_setting_by_the_models_id()
    {
        using var folder = Bert(BertNormalizer(), """{"do_lower_case": false}""", "BertTokenizer");
        Assert.Contains("Models:model:TokenizerConfig=follow", Assert.Single(Tokenizer.Load(folder.Path).Notes), StringComparison.Ordinal);
        Assert.Contains("Models:org--name:TokenizerConfig=follow", Assert.Single(Tokenizer.Load(folder.Path, id: "org--name").Notes), StringComparison.Ordinal);
    }

    [Fact]
    public void A_tokenizer_that_finds_words_by_another_program_is_told_beside_tokenizer_json()
    {
        using var folder = Bert(BertNormalizer(), """{"word_tokenizer_type": "mecab"}""", "BertTokenizer");
        Assert.Contains("mecab", Assert.Single(Tokenizer.Load(folder.Path).Notes), StringComparison.Ordinal);
        Assert.Contains("mecab", Assert.Throws<ModelLoadException>(() => Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("512", 512)]
    [InlineData("512.0", 512)]
    [InlineData("1000000000000000019884624838656", null)]
    [InlineData("1e30", null)]
    [InlineData("1e400", null)]
    [InlineData("null", null)]
    public void Model_max_length_is_a_number_of_tokens_or_no_limit(string value, int? limit)
    {
        using var folder = Bert(BertNormalizer(), $$"""{"model_max_length": {{value}}}""", "BertTokenizer");
        Assert.Equal(limit, Tokenizer.Load(folder.Path).ModelMaxLength);
    }

    [Theory]
    [InlineData("model_max_length", "1e-9")]
    [InlineData("model_max_length", "0")]
    [InlineData("model_max_length", "-1")]
    [InlineData("model_max_length", "12.5")]
    [InlineData("model_max_length", "\"512\"")]
    [InlineData("do_lower_case", "\"false\"")]
    [InlineData("strip_accents", "0")]
    [InlineData("add_prefix_space", "[]")]
    [InlineData("truncation_side", "\"middle\"")]
    [InlineData("pad_token", "0")]
    [InlineData("mask_token", "{\"lstrip\": true}")]
    [InlineData("additional_special_tokens", "\"<x>\"")]
    [InlineData("added_tokens_decoder", "{\"one\": {\"content\": \"x\"}}")]
    [InlineData("added_tokens_decoder", "{\"1\": \"x\"}")]
    public void Nonsense_is_refused_with_its_field(string field, string value)
    {
        using var folder = Bert(BertNormalizer(), $$"""{"{{field}}": {{value}}}""", "BertTokenizer");
        Assert.StartsWith($"tokenizer_config.json: $.{field}", Assert.Throws<ModelLoadException>(() => Tokenizer.Load(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Two_tokens_with_one_id_are_told()
    {
        var model = Words("<unk>", "a", "b", "c");
        model["vocab"]!["b"] = 1;
        using var folder = new Folder(("tokenizer.json", Json(model, preTokenizer: Of("Whitespace")).ToJsonString()));
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Contains("'a' and 'b' have one id, 1", Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
        Assert.Equal([1, 1, 3], tokenizer.Encode("a b c").Ids);
        Assert.Equal("b", tokenizer.IdToToken(1));
    }

    [Fact]
    public void An_added_token_with_the_id_of_another_gets_its_own_and_is_told()
    {
        var json = Json(Words("<unk>", "a", "b"), preTokenizer: Of("Whitespace"));
        json["added_tokens"] = new JsonArray(new JsonObject { ["id"] = 1, ["content"] = "<x>", ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false, ["special"] = true });
        using var folder = new Folder(("tokenizer.json", json.ToJsonString()));
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Contains("'<x>' has the id 1 there and gets 3", Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
        Assert.Equal([1, 3], tokenizer.Encode("a<x>", addSpecialTokens: false).Ids);
    }

    private static void Differs(Folder folder, string told, string text, string own, string follow, bool addSpecialTokens = false)
    {
        var tokenizer = Tokenizer.Load(folder.Path);
        var note = Assert.Single(tokenizer.Notes);
        Assert.StartsWith("tokenizer_config.json: ", note, StringComparison.Ordinal);
        Assert.Contains(told, note, StringComparison.Ordinal);
        Assert.Contains("tokenizer.json is followed", note, StringComparison.Ordinal);
        Assert.Equal(own, string.Join(' ', tokenizer.Encode(text, addSpecialTokens: addSpecialTokens).Ids));

        tokenizer = Tokenizer.Load(folder.Path, TokenizerConfigUse.Follow);
        Assert.Contains("tokenizer_config.json is followed", Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
        Assert.Equal(follow, string.Join(' ', tokenizer.Encode(text, addSpecialTokens: addSpecialTokens).Ids));
    }

    private static Folder Bert(JsonObject normalizer, string config, string? name) => new(
        ("tokenizer.json", Json(WordPiece(Cased), normalizer, Of("BertPreTokenizer"), null, null, Added(0, "[UNK]"), Added(1, "[CLS]"), Added(2, "[SEP]")).ToJsonString()),
        ("tokenizer_config.json", Config(config, name)));

    private static Folder ByteBpe(JsonObject preTokenizer, JsonObject? postProcessor, string config, string name) => new(
        ("tokenizer.json", Json(Bpe(Bytes, "Ġ a", "Ġ b"), null, preTokenizer, postProcessor, null, Added(0, "<s>"), Added(1, "</s>"), Added(2, "<unk>")).ToJsonString()),
        ("tokenizer_config.json", Config(config, name)));

    private static string Config(string config, string? name)
    {
        var json = JsonNode.Parse(config)!.AsObject();
        if (name is not null)
        {
            json["tokenizer_class"] = name;
        }

        return json.ToJsonString();
    }
}
