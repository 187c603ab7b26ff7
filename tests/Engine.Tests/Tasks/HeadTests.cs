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
        Assert.Equal(task, TaskCatalogue.Prediction(model, null).Name);
        Assert.Equal(task, TaskCatalogue.Prediction(With(model, []), null).Name);
        Assert.Equal(task, TaskCatalogue.Prediction(With(model, ["SomethingNewModel"]), null).Name);
    }

    [Fact]
    public async Task A_config_that_promises_a_head_which_the_graph_lacks_is_not_believed()
    {
        var encoder = await zoo.Get("bert-embed-sdpa");
        Assert.DoesNotContain("fill-mask", TaskCatalogue.NamesOf(With(encoder, ["BertForMaskedLM"])));
        var classifier = await zoo.Get("bert-classify");
        Assert.Equal("text-classification", TaskCatalogue.Prediction(With(classifier, ["BertForMaskedLM"]), null).Name);
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
        var tasks = TaskCatalogue.NamesOf(await zoo.Get("demo-bert"));
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
    public async Task Zero_shot_needs_a_label_of_entailment()
    {
        Assert.DoesNotContain("zero-shot", TaskCatalogue.NamesOf(await zoo.Get("bert-classify")));
        Assert.Contains("zero-shot", TaskCatalogue.NamesOf(await zoo.Get("deberta-v2-nli")));
    }

    private static Model With(Model model, IReadOnlyList<string> architectures) =>
        model with { Manifest = model.Manifest with { Config = model.Manifest.Config with { Architectures = architectures } } };
}
