using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.Rerank;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>What is chosen where a folder is silent, what a person set instead, and how both are told.</summary>
public sealed class ModelSettingsTests
{
    private static readonly GraphTensor States = new("last_hidden_state", ElementType.Float, ["b", "s", "3"]);

    [Fact]
    public async Task A_folder_that_says_nothing_of_pooling_gets_a_default_that_is_told()
    {
        Assert.Equal(new PoolingChoice("mean", "default (the folder names no pooling)"), TinyModel.Create().Capabilities.Pooling);
        Assert.Contains("Models:tiny:Pooling", Assert.Single(ModelNotes.Of(TinyModel.Create())), StringComparison.Ordinal);

        var decoder = TinyModel.Create(kind: AttentionKind.Decoder);
        Assert.Equal("lasttoken", decoder.Capabilities.Pooling!.Mode);
        Assert.Contains("last token", Assert.Single(ModelNotes.Of(decoder)), StringComparison.Ordinal);
        await Gives([3f, 4f, 1f], decoder); // [CLS] the cat ##s [SEP]: the last is 3 at position 4
        Assert.Empty(ModelNotes.Of(TinyModel.Create(TinyModel.Pipeline(new PoolingModule([PoolingMode.Cls])))));
    }

    [Fact]
    public async Task Settings_come_before_the_folder_and_a_request_before_both()
    {
        var model = TinyModel.Create(TinyModel.Pipeline(new PoolingModule([PoolingMode.Cls]), new NormalizeModule()));
        var set = model with { Settings = new ModelSettings { Pooling = "lasttoken", Normalize = false, Prompts = new Dictionary<string, string> { ["query"] = "cat ", ["own"] = "the " } } };

        Assert.Equal(new PoolingChoice("lasttoken", "setting Models:tiny:Pooling"), set.Capabilities.Pooling);
        await Gives([3f, 4f, 1f], set);
        await Gives([2f, 0f, 1f], set, new EmbeddingsRequest { Inputs = [TextInput.Of("the cats")], Pooling = "cls" });
        await Gives([3f, 5f, 1f], set, new EmbeddingsRequest { Inputs = [TextInput.Of("the cats")], PromptName = "own" });
        await Gives([3f, 5f, 1f], set, new EmbeddingsRequest { Inputs = [TextInput.Of("the cats")], PromptName = "query" });
        Assert.Equal(1, MathF.Sqrt((await Vector(model)).Sum(x => x * x)), 1e-5f);
    }

    [Theory]
    [InlineData("sentence_embedding", "5", true)]
    [InlineData("text_embeds", "3", true)]
    [InlineData("text_embeds", "7", true)] // projection_dim
    [InlineData("dense_vecs", "3", true)]
    [InlineData("dense_vecs", "5", false)]
    [InlineData("pooler_output", "3", false)]
    public void A_vector_that_the_graph_made_counts_before_states_unless_modules_json_says_everything(string name, string size, bool taken)
    {
        var model = With(TinyModel.Create(), States, new GraphTensor(name, ElementType.Float, ["b", size]));
        Assert.Equal(taken ? "graph" : "mean", model.Capabilities.Pooling!.Mode);
        Assert.Equal(taken, ModelNotes.Of(model).Any(note => note.Contains(name, StringComparison.Ordinal) && note.Contains("Models:tiny:Output", StringComparison.Ordinal)));

        var pipeline = TinyModel.Pipeline(new PoolingModule([PoolingMode.Cls]));
        Assert.Equal("cls", With(TinyModel.Create(pipeline), States, new GraphTensor(name, ElementType.Float, ["b", size])).Capabilities.Pooling!.Mode);
        var incomplete = With(TinyModel.Create(pipeline with { IsComplete = false }), States, new GraphTensor(name, ElementType.Float, ["b", size]));
        Assert.Equal(taken ? "graph" : "cls", incomplete.Capabilities.Pooling!.Mode);
        Assert.Equal("mean", (model with { Settings = new ModelSettings { Output = "last_hidden_state" } }).Capabilities.Pooling!.Mode);
        Assert.Equal("graph", (incomplete with { Settings = new ModelSettings { Output = name } }).Capabilities.Pooling!.Mode);
    }

    [Fact]
    public void Where_a_step_of_modules_json_is_missing_the_graphs_own_vector_is_taken_else_none_is_made()
    {
        var pipeline = TinyModel.Pipeline(new PoolingModule([PoolingMode.Cls])) with { IsComplete = false, Unsupported = "2_Dense/model.safetensors of the Dense module is missing" };
        var own = With(TinyModel.Create(pipeline), States, new GraphTensor("sentence_embedding", ElementType.Float, ["b", "5"]));
        Assert.Equal("graph", own.Capabilities.Pooling!.Mode);
        Assert.Contains("2_Dense", Assert.Throws<InferenceException>(() => EmbeddingPlan.Of(own, "mean", null)).Message, StringComparison.Ordinal);
        var none = With(TinyModel.Create(pipeline), States);
        Assert.Null(none.Capabilities.Pooling);
        Assert.Contains("2_Dense", new EmbeddingsTask().WhyNot(none), StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_that_do_not_fit_are_refused_by_name()
    {
        Refused(new ModelSettings { Output = "nothing" }, "Models:tiny:Output");
        Refused(new ModelSettings { Pooling = "average" }, "Models:tiny:Pooling");
        Refused(new ModelSettings { RerankTemplate = "{query}" }, "{document}");
        Refused(new ModelSettings { EntailmentLabel = "yes" }, "Models:tiny:EntailmentLabel");
        ModelNotes.RequireFitting(TinyModel.Create() with { Settings = new ModelSettings { Output = "last_hidden_state", Pooling = "cls+max", RerankTemplate = "{query} {document}" } });

        static void Refused(ModelSettings settings, string says) =>
            Assert.Contains(says, Assert.Throws<ModelLoadException>(() => ModelNotes.RequireFitting(TinyModel.Create() with { Settings = settings })).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("BertForSequenceClassification", "text-classification", false)]
    [InlineData("BertForTokenClassification", "token-classification", true)]
    [InlineData("BertForMaskedLM", "fill-mask", true)]
    public void A_head_that_the_graph_lacks_is_told_with_the_export_task(string architecture, string task, bool ranks)
    {
        var model = Architecture(TinyModel.Create(), architecture);
        Assert.Contains(ModelNotes.Of(model), note => note.Contains(architecture, StringComparison.Ordinal) && note.Contains($"--task {task}.", StringComparison.Ordinal));
        Assert.Equal(ranks, new RerankTask().Supports(model));
        Assert.Contains(task, TaskCatalogue.All.OfType<IPredictionTask>().First().WhyNot(model), StringComparison.Ordinal);
        Assert.Null(Architecture(TinyModel.Create(), "BertModel").Capabilities.LostHead);
    }

    [Fact]
    public async Task A_decoder_with_one_label_ranks_in_the_template_that_was_set()
    {
        var seen = new List<int[]>();
        var executor = LogitsExecutor.PerSequence(ids =>
        {
            seen.Add(ids);
            return [0f];
        });
        var model = Architecture(With(TinyModel.Create(kind: AttentionKind.Decoder, executor: executor), new GraphTensor("logits", ElementType.Float, ["b", "1"])), "LlamaForSequenceClassification");
        Assert.False(new RerankTask().Supports(model));
        Assert.Contains("Models:tiny:RerankTemplate", new RerankTask().WhyNot(model), StringComparison.Ordinal);

        var set = model with { Settings = new ModelSettings { RerankTemplate = "query: {query} the {document}" } };
        Assert.True(new RerankTask().Supports(set));
        var result = await new RerankTask().RunAsync(set, new RerankRequest { Query = "cat", Documents = ["sat"] }, new RequestContext());
        Assert.Equal(0.5, Assert.Single(result.Results).Score);
        Assert.Equal([2, 10, 11, 6, 5, 7, 3], seen[0]); // [CLS] query : cat the sat [SEP]
    }

    private static Model With(Model model, params GraphTensor[] outputs) => model with
    {
        Graph = model.Graph with { Outputs = outputs },
        Manifest = model.Manifest with { Config = model.Manifest.Config with { Root = JsonDocument.Parse("""{"projection_dim": 7}""").RootElement } },
    };

    private static Model Architecture(Model model, string name) => model with { Manifest = model.Manifest with { Config = model.Manifest.Config with { Architectures = [name] } } };

    private static async Task Gives(float[] expected, Model model, EmbeddingsRequest? request = null)
    {
        var vector = await Vector(model, request);
        Assert.Equal(expected, vector);
    }

    private static async Task<float[]> Vector(Model model, EmbeddingsRequest? request = null) =>
        (await new EmbeddingsTask().RunAsync(model, request ?? new EmbeddingsRequest { Inputs = [TextInput.Of("the cats")] }, new RequestContext())).Items[0].Embedding!.ToFloats();
}
