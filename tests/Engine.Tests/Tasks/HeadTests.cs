using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tasks;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>What a folder can do follows from its config and its graph's outputs, whatever it is called.</summary>
public sealed class HeadTests(ZooModels zoo)
{
    [Theory]
    [InlineData("bert-fill-mask-eager", "fill-mask")]
    [InlineData("bert-classify", "text-classification")]
    [InlineData("bert-regression", "text-classification")]
    [InlineData("bert-nli-zero-shot", "text-classification")]
    [InlineData("roberta-ner", "token-classification")]
    [InlineData("bert-qa", "question-answering")]
    [InlineData("gpt2-no-past", "next-token")]
    [InlineData("llama-gqa-with-past", "next-token")]
    public async Task Without_a_task_the_heads_own_runs_also_when_the_config_does_not_name_it(string folder, string task)
    {
        var model = await zoo.Get(folder);
        Assert.Equal(task, Wire.Name(Wire.Prediction(model, null)));
        Assert.Equal(task, Wire.Name(Wire.Prediction(With(model, []), null)));
        Assert.Equal(task, Wire.Name(Wire.Prediction(With(model, ["SomethingNewModel"]), null)));
    }

    [Fact]
    public async Task A_config_that_promises_a_head_which_the_graph_lacks_is_not_believed()
    {
        var encoder = await zoo.Get("bert-embed-sdpa");
        Assert.DoesNotContain("fill-mask", Wire.Names(With(encoder, ["BertForMaskedLM"])));
        var classifier = await zoo.Get("bert-classify");
        Assert.Equal("text-classification", Wire.Name(Wire.Prediction(With(classifier, ["BertForMaskedLM"]), null)));
    }

    [Fact]
    public async Task An_exporters_own_output_name_will_do()
    {
        var model = await zoo.Get("bert-classify");
        var renamed = model with { Graph = model.Graph with { Outputs = [new GraphTensor("last_hidden_state", ElementType.Float, ["b", "s", "32"]), new GraphTensor("output_0", ElementType.Float, null)] } };
        Assert.Equal("output_0", Head.Of(renamed)?.Output);
    }

    [Fact]
    public async Task Logits_beside_hidden_states_offer_both_tasks()
    {
        var tasks = Wire.Names(await zoo.Get("demo-bert"));
        Assert.Contains("fill-mask", tasks);
        Assert.Contains("embeddings", tasks);
        Assert.Contains("rerank", tasks);
    }

    [Fact]
    public async Task Heads_that_no_task_reads_offer_none()
    {
        var model = await zoo.Get("bert-classify");
        Assert.Null(Head.Of(With(model, ["BertForMultipleChoice"])));
        Assert.Null(Head.Of(With(await zoo.Get("bert-fill-mask-eager"), ["T5ForConditionalGeneration"])));
    }

    [Fact]
    public async Task Without_a_named_head_the_number_of_labels_or_of_words_tells_what_an_output_is()
    {
        Assert.Equal(HeadKind.SequenceClassification, (await Only("bert-classify", "output_0", "b", "3"))?.Kind);
        Assert.Equal(HeadKind.TokenClassification, (await Only("bert-ner", "output_0", "b", "s", "7"))?.Kind);
        Assert.Equal(HeadKind.MaskedLanguageModel, (await Only("bert-fill-mask-eager", "output_0", "b", "s", "800"))?.Kind);
        Assert.Equal(HeadKind.CausalLanguageModel, (await Only("gpt2-no-past", "output_0", "b", "s", "800"))?.Kind);
        Assert.Null(await Only("bert-classify", "output_0", "b", "32"));
        Assert.Null(await Only("bert-classify", "output_0", "b", "s", "32"));

        // Nobody says how long the list of words is: what is near the tokenizer's cannot be labels.
        var model = await zoo.Get("bert-fill-mask-eager");
        var config = model.Manifest.Config with { Architectures = [], VocabularySize = null };
        Assert.Equal(HeadKind.MaskedLanguageModel, Head.Of(With(model with { Manifest = model.Manifest with { Config = config } }, [], new GraphTensor("logits", ElementType.Float, ["b", "s", "832"])))?.Kind);

        async Task<Head?> Only(string folder, string name, params string[] shape) => Head.Of(With(await zoo.Get(folder), [], new GraphTensor(name, ElementType.Float, shape)));
    }

    [Fact]
    public async Task The_logits_of_the_last_position_alone_are_those_of_the_next_token()
    {
        var model = await zoo.Get("gpt2-no-past");
        var last = new GraphTensor("logits", ElementType.Float, ["b", "800"]);
        Assert.Equal(HeadKind.CausalLanguageModel, Head.Of(With(model, ["GPT2LMHeadModel"], last))?.Kind);
        Assert.Equal(HeadKind.CausalLanguageModel, Head.Of(With(model, [], last))?.Kind);

        var queue = LogitsExecutor.PerSequence(ids => [.. Enumerable.Range(0, 800).Select(i => i == ids[^1] ? 9f : 0f)]);
        var result = await new Engine.Tasks.NextToken.NextTokenTask().RunAsync(
            With(model, [], last) with { Executor = queue }, new Engine.Tasks.NextToken.NextTokenRequest { Inputs = [TextInput.OfIds([5, 7])] }, new(TestContext.Current.CancellationToken));
        Assert.Equal(7, ((Engine.Tasks.NextToken.NextTokenResult)result[0]).Candidates[0].Id);
    }

    [Fact]
    public async Task A_masked_language_model_without_a_mask_token_is_no_causal_one()
    {
        var model = await zoo.Get("gpt2-no-past");
        Assert.Null(Head.Of(With(model, ["BertForMaskedLM"])));
    }

    [Fact]
    public async Task A_second_head_of_two_labels_does_not_hide_the_language_model()
    {
        var model = await zoo.Get("bert-fill-mask-eager");
        var (next, words) = (new GraphTensor("seq_relationship_logits", ElementType.Float, ["b", "2"]), new GraphTensor("prediction_logits", ElementType.Float, ["b", "s", "800"]));
        Assert.Equal("prediction_logits", Head.Of(With(model, ["BertForPreTraining"], next, words))?.Output);
        Assert.Equal("prediction_logits", Head.Of(With(model, [], next, words))?.Output);
    }

    [Fact]
    public async Task Two_numbers_a_token_are_a_span_whatever_they_are_called()
    {
        var model = await zoo.Get("bert-qa");
        GraphTensor[] outputs = [new("output_0", ElementType.Float, ["batch_size", "sequence_length"]), new("output_1", ElementType.Float, ["batch_size", "sequence_length"])];
        Assert.Equal(new Head(HeadKind.QuestionAnswering, "output_0", "output_1"), Head.Of(With(model, [], outputs)));
    }

    [Theory]
    [InlineData("demo-translator")]
    [InlineData("t5-small-like")]
    [InlineData("bart")]
    [InlineData("marian-en-pt")]
    public async Task The_states_of_an_encoder_with_a_decoder_are_no_embeddings_unless_the_folder_says_how(string folder)
    {
        var model = await zoo.Get(folder);
        Assert.Equal(["generate", "attention", "tokenize", "detokenize"], Wire.Names(model));
        Assert.Contains("modules.json", TaskCatalogue.Get<Engine.Tasks.Embeddings.EmbeddingsTask>().WhyNot(model), StringComparison.Ordinal);

        var sentence = model with { Manifest = model.Manifest with { Sentence = TinyModel.Pipeline(new PoolingModule([PoolingMode.Mean])) } };
        Assert.Equal(["generate", "rerank", "embeddings", "similarity", "attention", "tokenize", "detokenize"], Wire.Names(sentence));
    }

    [Fact]
    public async Task Zero_shot_needs_a_label_of_entailment()
    {
        Assert.DoesNotContain("zero-shot", Wire.Names(await zoo.Get("bert-classify")));
        Assert.Contains("zero-shot", Wire.Names(await zoo.Get("deberta-v2-nli")));
    }

    private static Model With(Model model, IReadOnlyList<string> architectures, params GraphTensor[] outputs) =>
        model with { Graph = outputs.Length == 0 ? model.Graph : model.Graph with { Outputs = outputs }, Manifest = model.Manifest with { Config = model.Manifest.Config with { Architectures = architectures } } };
}
