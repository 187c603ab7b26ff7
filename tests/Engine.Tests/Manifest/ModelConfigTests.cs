using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using Xunit;

namespace InferenceServer.Engine.Tests.Manifest;

public sealed class ModelConfigTests
{
    [Fact]
    public void More_heads_than_the_hidden_size_has_numbers_leave_the_size_of_a_head_open()
    {
        // Copies of configurations with a small hidden size and the family's default of 12 heads are served; a note tells it.
        var config = Parse("""{"hidden_size": 8, "num_attention_heads": 12}""");
        Assert.Equal((8, 12, null), (config.HiddenSize, config.Heads, config.HeadSize));
    }

    [Theory]
    [InlineData("""{"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 128}""")]
    [InlineData("""{"dim": 32, "n_layers": 3, "n_heads": 4, "max_position_embeddings": 128}""")]
    [InlineData("""{"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}""")]
    [InlineData("""{"n_embd": 32, "n_layer": 3, "n_head": 4, "n_ctx": 128}""")]
    [InlineData("""{"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 4, "max_position_embeddings": 128, "is_encoder_decoder": true}""")]
    [InlineData("""{"d_model": 32, "num_layers": 3, "num_heads": 4, "n_positions": 128, "d_kv": 8}""")]
    [InlineData("""{"d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 128}""")]
    [InlineData("""{"model_type": "vl", "text_config": {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 128}}""")]
    [InlineData("""{"model": {"context_length": 128, "decoder": {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "head_size": 8}}}""")]
    public void A_fact_is_found_under_each_of_its_names(string json)
    {
        var config = Parse(json);

        Assert.Equal((32, 3, 4, 4, 8, 128), (config.HiddenSize, config.Layers, config.Heads, config.KeyValueHeads, config.HeadSize, config.MaxPositions));
    }

    [Theory]
    [InlineData("""{"max_position_embeddings": 514, "pad_token_id": 1}""", 512)]
    [InlineData("""{"max_position_embeddings": 130, "pad_token_id": 1}""", 128)]
    [InlineData("""{"max_position_embeddings": 4098, "pad_token_id": 1}""", 4096)]
    [InlineData("""{"max_position_embeddings": 512, "pad_token_id": 0}""", 512)]
    [InlineData("""{"max_position_embeddings": 1024, "pad_token_id": 1}""", 1024)]
    [InlineData("""{"max_position_embeddings": 514}""", 514)]
    [InlineData("""{"max_position_embeddings": -1}""", null)]
    public void Position_rows_that_are_reserved_for_padding_do_not_count(string json, int? positions) => Assert.Equal(positions, Parse(json).MaxPositions);

    [Fact]
    public void An_encoder_decoder_has_sizes_of_both()
    {
        var config = Parse("""{"is_encoder_decoder": true, "num_layers": 2, "num_decoder_layers": 5, "num_heads": 4, "decoder_attention_heads": 8, "decoder_start_token_id": [7, 8]}""");

        Assert.Equal((2, 4, 5, 8, 7), (config.Layers, config.Heads, config.DecoderLayers, config.DecoderHeads, config.DecoderStartTokenId));
    }

    [Fact]
    public void Grouped_heads_and_their_size_are_read()
    {
        var config = Parse("""{"hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}""");

        Assert.Equal((2, 16), (config.KeyValueHeads, config.HeadSize));
        Assert.Equal(1, Parse("""{"num_attention_heads": 8, "multi_query": true}""").KeyValueHeads);
    }

    [Theory]
    [InlineData("""{"id2label": {"2": "C", "0": "A", "1": "B"}}""", "A,B,C")]
    [InlineData("""{"id2label": {"3": "K", "0": "A"}}""", "A,LABEL_1,LABEL_2,K")]
    [InlineData("""{"id2label": {"0": 1, "1": 2}}""", "1,2")]
    [InlineData("""{"id2label": ["x", "y, with a comma"]}""", "x,y, with a comma")]
    [InlineData("""{"label2id": {"neg": 0, "pos": 1}}""", "neg,pos")]
    [InlineData("""{}""", "")]
    public void Labels_stand_in_the_order_of_their_ids(string json, string labels) => Assert.Equal(labels, string.Join(',', Parse(json).Labels));

    [Theory]
    [InlineData("""{"id2label": {"a": "A"}}""", "$.id2label")]
    [InlineData("""{"id2label": {"-1": "A"}}""", "$.id2label")]
    [InlineData("""{"id2label": {"99999999": "A"}}""", "99999999")]
    [InlineData("""{"id2label": {"0": {}}}""", "$.id2label['0']")]
    [InlineData("""{"label2id": {"A": "zero"}}""", "$.label2id['A']")]
    [InlineData("""{"hidden_size": 1.5}""", "$.hidden_size")]
    [InlineData("""{"num_attention_heads": 1e30}""", "$.num_attention_heads")]
    [InlineData("""{"num_attention_heads": 2147483647}""", "from 1 to 4096")]
    [InlineData("""{"num_attention_heads": -12}""", "$.num_attention_heads")]
    [InlineData("""{"num_hidden_layers": 1e9}""", "$.num_hidden_layers")]
    [InlineData("""{"hidden_size": 2147483647}""", "$.hidden_size")]
    [InlineData("""{"hidden_size": 1e-9}""", "$.hidden_size")]
    [InlineData("""{"vocab_size": 2147483647}""", "$.vocab_size")]
    public void A_fact_that_cannot_be_is_named_by_its_path(string json, string path)
    {
        var e = Assert.Throws<ModelLoadException>(() => Parse(json));

        Assert.Contains("config.json", e.Message, StringComparison.Ordinal);
        Assert.Contains(path, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"hidden_size": null, "architectures": null, "id2label": null, "pad_token_id": null, "model_type": 3}""")]
    [InlineData("""{"hidden_size": "big", "architectures": [1, {}], "text_config": [], "decoder": 4, "model": "x"}""")]
    public void What_is_of_another_type_counts_as_absent(string json)
    {
        var config = Parse(json);

        Assert.Null(config.HiddenSize);
        Assert.Empty(config.Architectures);
        Assert.Null(config.ModelType);
    }

    [Fact]
    public void Every_reference_folder_has_its_sizes()
    {
        var folders = Directory.GetDirectories(TestData.Zoo);
        Checks.AtLeast(52, folders.Length, "folders");
        foreach (var folder in folders)
        {
            var config = Parse(File.ReadAllText(Path.Combine(folder, "config.json")));
            Assert.True(config is { Layers: > 0, Heads: > 0, HiddenSize: > 0, HeadSize: > 0, VocabularySize: > 0, Architectures.Count: > 0 }, folder);
            Assert.True(config.MaxPositions is 128 or 256 or 512 || config.ModelType == "t5", $"{folder}: {config.MaxPositions}");
        }
    }

    private static ModelConfig Parse(string json) => ModelConfig.From(JsonDocument.Parse(json).RootElement);
}
