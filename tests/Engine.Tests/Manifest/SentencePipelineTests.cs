using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using Xunit;

namespace InferenceServer.Engine.Tests.Manifest;

/// <summary>modules.json and its module folders.</summary>
public sealed class SentencePipelineTests
{
    private const string Transformer = """{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}""";
    private const string Pooling = """{"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}""";

    [Theory]
    [InlineData("1e-9", false)]
    [InlineData("0", false)]
    [InlineData("12.5", false)]
    [InlineData("1e30", true)] // no limit
    [InlineData("null", true)]
    public void A_length_that_is_no_number_of_tokens_is_refused(string value, bool isServed)
    {
        using var folder = new Folder(("config.json", "{}"), ("model.onnx", "x"), ("modules.json", $"[{Transformer}]"), ("sentence_bert_config.json", $$"""{"max_seq_length": {{value}}}"""));
        if (isServed)
        {
            Assert.Null(ModelManifest.Read(folder.Path).Sentence!.MaxSequenceLength);
            return;
        }

        Assert.StartsWith("sentence_bert_config.json: $.max_seq_length", Assert.Throws<ModelLoadException>(() => ModelManifest.Read(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}""", "Mean")]
    [InlineData("""{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}""", "Cls")]
    [InlineData("""{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true, "pooling_mode_cls_token": true}""", "Cls,Max,Mean")]
    [InlineData("""{"pooling_mode_mean_tokens": false, "pooling_mode_weightedmean_tokens": true}""", "WeightedMean")]
    [InlineData("""{"pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true}""", "LastToken")]
    [InlineData("""{"pooling_mode_mean_tokens": false, "pooling_mode_mean_sqrt_len_tokens": true}""", "MeanSqrtLen")]
    [InlineData("""{"pooling_mode": "lasttoken"}""", "LastToken")]
    [InlineData("""{"embedding_dimension": 8, "pooling_mode": "CLS", "include_prompt": true}""", "Cls")]
    [InlineData("""{"pooling_mode": "mean_sqrt_len_tokens"}""", "MeanSqrtLen")]
    [InlineData("""{"pooling_mode": ["mean", "cls"]}""", "Mean,Cls")]
    [InlineData("""{"pooling_mode": ["lasttoken", "cls", "max", "lasttoken"]}""", "LastToken,Cls,Max")]
    [InlineData("""{"word_embedding_dimension": 8}""", "Mean")]
    public void Poolings_are_read_in_the_order_they_are_concatenated(string config, string modes)
    {
        using var folder = new Folder(("config.json", "{}"), ("model.onnx", "x"), ("modules.json", $"[{Transformer}, {Pooling}]"), ("1_Pooling/config.json", config));

        var sentence = ModelManifest.Read(folder.Path).Sentence!;

        Assert.Equal(modes, string.Join(',', Assert.IsType<PoolingModule>(Assert.Single(sentence.Modules)).Modes));
        Assert.Equal("1_Pooling/config.json", sentence.Source);
    }

    [Theory]
    [InlineData("sentence_bert_config.json")]
    [InlineData("sentence_roberta_config.json")]
    [InlineData("sentence_xlm-roberta_config.json")]
    public void The_transformers_file_may_be_named_after_its_family(string file)
    {
        using var folder = new Folder(("config.json", "{}"), ("model.onnx", "x"), ("modules.json", $"[{Transformer}]"), (file, """{"max_seq_length": 16, "do_lower_case": true}"""));

        var sentence = ModelManifest.Read(folder.Path).Sentence!;

        Assert.Equal((16, true), (sentence.MaxSequenceLength, sentence.DoLowerCase));
    }

    [Fact]
    public void A_pooling_folder_without_modules_json_is_a_pipeline()
    {
        using var folder = new Folder(("config.json", "{}"), ("model.onnx", "x"), ("1_Pooling/config.json", """{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false, "include_prompt": false}"""));

        var pooling = Assert.IsType<PoolingModule>(Assert.Single(ModelManifest.Read(folder.Path).Sentence!.Modules));

        Assert.Equal([PoolingMode.Cls], pooling.Modes);
        Assert.False(pooling.IncludePrompt);
    }

    [Fact]
    public void A_folder_without_either_is_no_pipeline()
    {
        using var folder = new Folder(("config.json", "{}"), ("model.onnx", "x"));

        Assert.Null(ModelManifest.Read(folder.Path).Sentence);
    }

    [Fact]
    public void A_pooling_that_is_missing_is_the_mean_and_says_so()
    {
        using var folder = new Folder(("config.json", "{}"), ("model.onnx", "x"), ("modules.json", $"[{Transformer}, {Pooling}]"));

        var manifest = ModelManifest.Read(folder.Path);

        Assert.StartsWith("default", manifest.Sentence!.Source, StringComparison.Ordinal);
        Assert.Contains(manifest.Notes, note => note.Contains("1_Pooling/config.json", StringComparison.Ordinal));
    }

    [Fact]
    public void Normalize_needs_no_folder_and_prompts_are_read()
    {
        using var folder = new Folder(
            ("config.json", "{}"),
            ("model.onnx", "x"),
            ("modules.json", $$"""[{{Transformer}}, {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"""),
            ("config_sentence_transformers.json", """{"prompts": {"query": "query: "}, "default_prompt_name": "query", "similarity_fn_name": "dot"}"""),
            ("sentence_bert_config.json", """{"max_seq_length": 77, "do_lower_case": true}"""));

        var sentence = ModelManifest.Read(folder.Path).Sentence!;

        Assert.Collection(sentence.Modules, m => Assert.IsType<PoolingModule>(m), m => Assert.IsType<NormalizeModule>(m));
        Assert.Equal(("query: ", "query", "dot", 77, true), (sentence.Prompts["query"], sentence.DefaultPrompt, sentence.Similarity, sentence.MaxSequenceLength, sentence.DoLowerCase));
    }

    [Theory]
    [InlineData("F32", "0000803F 00000040 00004040 00008040 0000A040 0000C040", 4)]
    [InlineData("F16", "003C 0040 0042 0044 0045 0046", 2)]
    [InlineData("BF16", "803F 0040 4040 8040 A040 C040", 2)]
    [InlineData("F64", "000000000000F03F 0000000000000040 0000000000000840 0000000000001040 0000000000001440 0000000000001840", 8)]
    public void Dense_weights_of_every_float_type_are_read(string type, string hex, int size)
    {
        using var folder = WithDense("""{"in_features": 3, "out_features": 2, "bias": false, "activation_function": "torch.nn.modules.linear.Identity"}""");
        folder.WriteTensors(
            "2_Dense/model.safetensors",
            $$$"""{"__metadata__": {"format": "pt"}, "linear.weight": {"dtype": "{{{type}}}", "shape": [2, 3], "data_offsets": [0, {{{6 * size}}}]}}""",
            Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)));

        var dense = Assert.IsType<DenseModule>(ModelManifest.Read(folder.Path).Sentence!.Modules[1]);

        Assert.Equal([1f, 2, 3, 4, 5, 6], dense.Weight);
        Assert.Equal((3, 2, "Identity", null), (dense.InFeatures, dense.OutFeatures, dense.Activation, dense.Bias));
    }

    [Theory]
    [InlineData("""{"in_features": 3, "out_features": 2, "bias": true}""", "linear.bias")]
    [InlineData("""{"in_features": 4, "out_features": 2, "bias": false}""", "$.in_features")]
    [InlineData("""{"in_features": 3, "out_features": 3, "bias": false}""", "$.out_features")]
    [InlineData("""{"bias": false, "activation_function": "my.Swoosh"}""", "Swoosh")]
    [InlineData("""{"bias": false, "module_input_name": "token_embeddings"}""", "token_embeddings")]
    [InlineData("""{"bias": false, "use_gate": true}""", "$.use_gate")]
    public void A_Dense_that_does_not_fit_is_refused(string config, string reason)
    {
        using var folder = WithDense(config);
        folder.WriteTensors("2_Dense/model.safetensors", """{"linear.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}""", new byte[24]);

        Assert.Contains(reason, Assert.Throws<ModelLoadException>(() => ModelManifest.Read(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"linear.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 25]}}""")]
    [InlineData("""{"linear.weight": {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 24]}}""")]
    [InlineData("""{"linear.weight": {"dtype": "F32", "shape": [-2, -3], "data_offsets": [0, 24]}}""")]
    [InlineData("""{"linear.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [1000000, 1000024]}}""")]
    [InlineData("""{"linear.weight": {"dtype": "I8", "shape": [24], "data_offsets": [0, 24]}}""")]
    [InlineData("""{"linear.weight": 4}""")]
    [InlineData("""{"other": {}}""")]
    [InlineData("""[]""")]
    [InlineData("""{""")]
    public void Damaged_safetensors_are_refused_by_name(string header)
    {
        using var folder = WithDense("""{"bias": false}""");
        folder.WriteTensors("2_Dense/model.safetensors", header, new byte[24]);

        Assert.Contains("2_Dense/model.safetensors", Assert.Throws<ModelLoadException>(() => ModelManifest.Read(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Pickled_and_missing_weights_keep_vectors_from_being_made_and_are_told_with_the_remedy()
    {
        using var folder = WithDense("{}");
        Assert.Contains("2_Dense/model.safetensors of the Dense module is missing", ModelManifest.Read(folder.Path).Sentence!.Unsupported, StringComparison.Ordinal);
        folder.Write("2_Dense/pytorch_model.bin", "x");

        var manifest = ModelManifest.Read(folder.Path);

        Assert.False(manifest.Sentence!.IsComplete);
        Assert.Contains("pytorch_model.bin", manifest.Sentence.Unsupported, StringComparison.Ordinal);
        Assert.Contains(manifest.Notes, note => note.Contains("save it again", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("sentence_transformers.models.CNN", "CNN")]
    [InlineData("sentence_transformers.models.WeightedLayerPooling", "WeightedLayerPooling")]
    [InlineData("mine.Router", "Router")]
    public void A_module_that_is_not_known_keeps_vectors_from_being_made_and_is_named(string type, string name)
    {
        using var folder = new Folder(("config.json", "{}"), ("model.onnx", "x"), ("modules.json", $$"""[{{Transformer}}, {"path": "1", "type": "{{type}}"}]"""));

        var manifest = ModelManifest.Read(folder.Path);

        Assert.Contains($"'{name}'", manifest.Sentence!.Unsupported, StringComparison.Ordinal);
        Assert.Contains(manifest.Notes, note => note.Contains($"'{name}'", StringComparison.Ordinal));
    }

    [Fact]
    public void A_residual_of_a_Dense_has_a_matrix_where_the_sizes_differ()
    {
        using var folder = WithDense("""{"bias": false, "use_residual": true, "activation_function": "torch.nn.modules.linear.Identity"}""");
        folder.WriteTensors("2_Dense/model.safetensors", """{"linear.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}""", new byte[24]);
        Assert.Contains("residual.weight", Assert.Throws<ModelLoadException>(() => ModelManifest.Read(folder.Path)).Message, StringComparison.Ordinal);

        folder.WriteTensors(
            "2_Dense/model.safetensors",
            """{"linear.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "residual.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [24, 48]}}""",
            [.. new byte[24], .. Enumerable.Range(1, 6).SelectMany(i => BitConverter.GetBytes((float)i))]);
        var dense = Assert.IsType<DenseModule>(ModelManifest.Read(folder.Path).Sentence!.Modules[1]);
        Assert.Equal([1f, 2, 3, 4, 5, 6], dense.Residual!);
    }

    [Theory]
    [InlineData("1_Pooling/config.json", """{"pooling_mode_mean_tokens": false}""", "no pooling at all")]
    [InlineData("1_Pooling/config.json", """{"pooling_mode": "attention"}""", "attention")]
    [InlineData("1_Pooling/config.json", """{"pooling_mode_strange": true}""", "pooling_mode_strange")]
    [InlineData("1_Pooling/config.json", """{"pooling_mode": "mean", "skip_special_tokens": true}""", "$.skip_special_tokens")]
    [InlineData("1_Pooling/config.json", """[1]""", "an object")]
    [InlineData("modules.json", """{}""", "modules.json")]
    [InlineData("modules.json", """[{"path": ""}]""", "$[0].type")]
    [InlineData("modules.json", """[{"type": "Transformer", "path": ""}, {"type": "Pooling", "path": "../../etc"}]""", "outside")]
    [InlineData("config_sentence_transformers.json", """{"prompts": {"a": 1}}""", "$.prompts['a']")]
    [InlineData("config_sentence_transformers.json", """{"default_prompt_name": "q"}""", "$.default_prompt_name")]
    [InlineData("config_sentence_transformers.json", """{"similarity_fn_name": "jaccard"}""", "jaccard")]
    [InlineData("config.json", "{\"a\": ", "line 1")]
    [InlineData("config.json", "{\n  \"a\": tru", "line 2")]
    [InlineData("config.json", "", "empty")]
    [InlineData("config.json", "[]", "an object")]
    [InlineData("config.json", """{"a": "\ud800"}""", "surrogate")]
    [InlineData("generation_config.json", "{", "generation_config.json")]
    public void A_file_that_is_wrong_is_named(string file, string content, string reason)
    {
        using var folder = new Folder(("config.json", "{}"), ("model.onnx", "x"), ("modules.json", $"[{Transformer}, {Pooling}]"), ("1_Pooling/config.json", "{}"));
        folder.Write(file, content);

        var e = Assert.Throws<ModelLoadException>(() => ModelManifest.Read(folder.Path));

        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_that_is_not_UTF8_and_JSON_that_is_too_deep_are_refused()
    {
        using var folder = new Folder(("model.onnx", "x"));
        folder.Write("config.json", [0x7B, 0x22, 0xFF, 0xFE, 0x22, 0x3A, 0x31, 0x7D]);
        Assert.Contains("UTF-8", Assert.Throws<ModelLoadException>(() => ModelManifest.Read(folder.Path)).Message, StringComparison.Ordinal);

        folder.Write("config.json", new string('[', 100_000));
        Assert.Contains("config.json", Assert.Throws<ModelLoadException>(() => ModelManifest.Read(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("bert-embed-sdpa", "Mean;Normalize")]
    [InlineData("bert-embed-cls-dense", "Cls;Dense 32->24 Tanh;Normalize")]
    [InlineData("albert-embed", "Mean;Normalize")]
    [InlineData("mpnet-embed", "Mean;Normalize")]
    [InlineData("bigbird-embed", "Mean;Normalize")]
    [InlineData("bert-embed-onnx-subfolder", "Mean;Normalize")]
    [InlineData("bert-classify", "")]
    public void The_reference_folders_have_their_modules(string name, string modules)
    {
        var sentence = ModelManifest.Read(Path.Combine(TestData.Zoo, name)).Sentence;

        Assert.Equal(modules, string.Join(';', (sentence?.Modules ?? []).Select(m => m switch
        {
            PoolingModule p => string.Join('+', p.Modes),
            DenseModule d => $"Dense {d.InFeatures}->{d.OutFeatures} {d.Activation}",
            _ => m.GetType().Name.Replace("Module", "", StringComparison.Ordinal),
        })));
    }

    [Fact]
    public void Changed_bytes_are_read_or_refused()
    {
        var random = new Random(7);
        using var folder = new Folder();
        var source = Path.Combine(TestData.Zoo, "bert-embed-cls-dense");
        string[] files = ["config.json", "modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors", "config_sentence_transformers.json"];
        folder.Write("model.onnx", "x");
        int read = 0, refused = 0;
        foreach (var file in files)
        {
            var whole = File.ReadAllBytes(Path.Combine(source, file));
            foreach (var other in files)
            {
                folder.Write(other, File.ReadAllBytes(Path.Combine(source, other)));
            }

            for (var round = 0; round < 250; round++)
            {
                var bytes = round % 5 == 0 ? whole[..random.Next(whole.Length)] : (byte[])whole.Clone();
                for (var change = random.Next(1, 6); change > 0 && bytes.Length > 0; change--)
                {
                    bytes[random.Next(bytes.Length)] = (byte)(random.Next(2) == 0 ? random.Next(256) : "{}[]\",:0-1e\\u"[random.Next(13)]);
                }

                folder.Write(file, bytes);
                try
                {
                    Assert.Equal("model", ModelManifest.Read(folder.Path).Id);
                    read++;
                }
                catch (ModelLoadException e)
                {
                    Assert.NotEmpty(e.Message);
                    refused++;
                }
            }
        }

        Assert.True(read > 100 && refused > 100, $"{read} read, {refused} refused: the changes should do both");
    }

    private static Folder WithDense(string config) => new(
        ("config.json", "{}"),
        ("model.onnx", "x"),
        ("modules.json", $$"""[{{Transformer}}, {{Pooling}}, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"""),
        ("1_Pooling/config.json", "{}"),
        ("2_Dense/config.json", config));
}
