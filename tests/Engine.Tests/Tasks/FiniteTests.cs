using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.FillMask;
using InferenceServer.Engine.Tasks.Rerank;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tasks.TokenClassification;
using InferenceServer.Engine.Tasks.ZeroShot;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>Numbers that are none, tokens that the graph lacks, and what a score is.</summary>
public sealed class FiniteTests
{
    private const int Cat = 6;

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public async Task A_row_that_holds_no_numbers_fails_the_request_and_names_the_input(float value)
    {
        float[] Row(IEnumerable<int> ids, int width) => [.. Enumerable.Repeat(ids.Contains(Cat) ? value : 1f, width)];
        TextInput[] inputs = [TextInput.Of("the"), TextInput.Of("the cat", index: 1)];
        var classifier = Labelled(["A", "B"], LogitsExecutor.PerSequence(ids => Row(ids, 2)), "BertForSequenceClassification", ["b", "2"]);
        await Refused(() => new TextClassificationTask().RunAsync(classifier, new TextClassificationRequest { Inputs = inputs }, new RequestContext()), "Inputs[1]");
        Assert.Single(await new TextClassificationTask().RunAsync(classifier, new TextClassificationRequest { Inputs = inputs[..1] }, new RequestContext()));

        var tagger = Labelled(["O", "B-X"], LogitsExecutor.PerToken(2, (id, _) => Row([id], 2)), "BertForTokenClassification", ["b", "s", "2"]);
        await Refused(() => new TokenClassificationTask().RunAsync(tagger, new TokenClassificationRequest { Inputs = inputs }, new RequestContext()), "Inputs[1]");

        var masked = Labelled([], LogitsExecutor.PerToken(12, (id, _) => Row([id == 4 ? Cat : 0], 12)), "BertForMaskedLM", ["b", "s", "12"]);
        await Refused(() => new FillMaskTask().RunAsync(masked, new FillMaskRequest { Inputs = [TextInput.Of("the [MASK]")] }, new RequestContext()), "Inputs[0]");

        var ranker = Labelled(["A"], LogitsExecutor.PerSequence(ids => Row(ids, 1)), "BertForSequenceClassification", ["b", "1"]);
        await Refused(() => new RerankTask().RunAsync(ranker, new RerankRequest { Query = "the", Documents = ["the", "cat"] }, new RequestContext()), "Documents[1]");

        var states = TinyModel.Create(executor: new FakeExecutor(input => new FakeRows().Set("last_hidden_state", Row(input.InputIds, (input.Length + 1) * 3), input.Length + 1, 3)));
        await Refused(() => new EmbeddingsTask().RunAsync(states, new EmbeddingsRequest { Inputs = inputs }, new RequestContext()), "Inputs[1]");
        await Refused(() => new EmbeddingsTask().RunAsync(states, new EmbeddingsRequest { Inputs = inputs, Level = EmbeddingLevel.Token }, new RequestContext()), "Inputs[1]");
    }

    [Fact]
    public async Task Logits_that_rule_a_token_out_are_numbers()
    {
        var masked = Labelled([], LogitsExecutor.PerToken(12, (_, _) => [.. Enumerable.Range(0, 12).Select(id => id == Cat ? 1f : float.NegativeInfinity)]), "BertForMaskedLM", ["b", "s", "12"]);
        var result = await new FillMaskTask().RunAsync(masked, new FillMaskRequest { Inputs = [TextInput.Of("the [MASK]")], TopK = 1 }, new RequestContext());
        Assert.Equal("cat", result[0].Masks[0].Candidates[0].Token);
        Assert.Equal(1, result[0].Masks[0].Candidates[0].Score, 1e-6);
    }

    [Fact]
    public async Task A_token_beyond_the_graphs_table_is_told_and_refused_by_name()
    {
        var model = TinyModel.Create();
        model = model with { Graph = model.Graph with { TokenRows = 10 } };
        Assert.Contains(ModelNotes.Of(model), note => note.Contains("query (10), : (11)", StringComparison.Ordinal));
        var error = await Assert.ThrowsAsync<InferenceException>(() => new EmbeddingsTask().RunAsync(model, new EmbeddingsRequest { Inputs = [TextInput.Of("cat"), TextInput.Of("the query", index: 1)] }, new RequestContext()));
        Assert.Equal((ErrorCode.Unprocessable, "Inputs[1]"), (error.Code, error.Argument!.ToString()));
        Assert.Contains("'query' (id 10)", error.Message, StringComparison.Ordinal);
        error = await Assert.ThrowsAsync<InferenceException>(() => new EmbeddingsTask().RunAsync(model, new EmbeddingsRequest { Inputs = [TextInput.OfIds([2, 10])] }, new RequestContext()));
        Assert.Contains("from 0 to 9", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, false, 0.8807970779778823)]
    [InlineData("Sigmoid", false, 0.8807970779778823)]
    [InlineData("Identity", false, 2.0)]
    [InlineData("Identity", true, 2.0)]
    [InlineData(null, true, 2.0)]
    [InlineData("Tanh", false, 0.964027580075817)]
    public async Task A_score_is_what_the_folders_activation_makes_of_the_logit(string? activation, bool raw, double score)
    {
        var model = Labelled(["A"], LogitsExecutor.PerSequence(_ => [2f]), "BertForSequenceClassification", ["b", "1"]);
        model = model with { Manifest = model.Manifest with { ScoreActivation = activation is null ? null : (activation, "config.json: $.x") } };
        var result = await new RerankTask().RunAsync(model, new RerankRequest { Query = "the", Documents = ["cat"], RawScores = raw }, new RequestContext());
        Assert.Equal(score, result.Results[0].Score, 1e-6);
        var other = model with { Manifest = model.Manifest with { ScoreActivation = ("Swoosh", "config.json: $.x") } };
        Assert.False(new RerankTask().Supports(other));
        Assert.Contains("Swoosh", new RerankTask().WhyNot(other), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Zero_shot_with_labels_without_names_is_told_which_means_entailment()
    {
        var model = Labelled(["LABEL_0", "LABEL_1", "LABEL_2"], LogitsExecutor.PerSequence(ids => ids.Contains(Cat) ? [0f, 3f, 0f] : [0f, 0f, 3f]), "BertForSequenceClassification", ["b", "3"]);
        var request = new ZeroShotRequest { Inputs = [TextInput.Of("the")], CandidateLabels = ["cat", "sat"], HypothesisTemplate = "{}" };
        Assert.True(new ZeroShotTask().Supports(model));
        var error = await Assert.ThrowsAsync<InferenceException>(() => new ZeroShotTask().RunAsync(model, request, new RequestContext()));
        Assert.Contains("id2label", error.Message, StringComparison.Ordinal);
        Assert.Equal("EntailmentLabel", error.Argument!.ToString());

        Assert.Equal("cat", (await new ZeroShotTask().RunAsync(model, request with { EntailmentLabel = "label_1" }, new RequestContext()))[0].Labels[0].Label);
        Assert.Equal("sat", (await new ZeroShotTask().RunAsync(model with { Settings = new ModelSettings { EntailmentLabel = "LABEL_2" } }, request, new RequestContext()))[0].Labels[0].Label);
        error = await Assert.ThrowsAsync<InferenceException>(() => new ZeroShotTask().RunAsync(model, request with { EntailmentLabel = "yes" }, new RequestContext()));
        Assert.Contains("LABEL_0, LABEL_1, LABEL_2", error.Message, StringComparison.Ordinal);
        Assert.False(new ZeroShotTask().Supports(Labelled(["good", "bad"], LogitsExecutor.PerSequence(_ => [0f, 0f]), "BertForSequenceClassification", ["b", "2"])));
    }

    [Theory]
    [InlineData("B-X E-X S-X S-X B-X I-X O", "0-2 2-3 3-4 4-6", "O B-X I-X E-X S-X")]
    [InlineData("B-X L-X U-X U-X B-X I-X O", "0-2 2-3 3-4 4-6", "O B-X I-X L-X U-X")]
    [InlineData("B-X I-X B-X O I-X I-X O", "0-2 2-3 4-6", "O B-X I-X")]
    public async Task Entities_end_where_their_tags_say_so(string tags, string entities, string labels)
    {
        var names = labels.Split(' ');
        var sequence = tags.Split(' ');
        var model = Labelled(names, LogitsExecutor.PerToken(names.Length, (_, position) => [.. names.Select(name => position >= 1 && position <= 7 && sequence[position - 1] == name ? 9f : 0f)]), "BertForTokenClassification", ["b", "s", "?"]);
        var result = await new TokenClassificationTask().RunAsync(model, new TokenClassificationRequest { Inputs = [TextInput.Of("cat cat cat cat cat cat cat")], Aggregation = Aggregation.Simple }, new RequestContext());
        Assert.Equal(entities, string.Join(' ', result[0].Entities.Select(e => $"{e.Start / 4}-{(e.End + 1) / 4}")));
        Assert.Equal(labels.Contains("S-", StringComparison.Ordinal) || labels.Contains("U-", StringComparison.Ordinal), ModelNotes.Of(model).Any(note => note.Contains(" tags", StringComparison.Ordinal)));
    }

    private static async Task Refused(Func<Task> run, string argument)
    {
        var error = await Assert.ThrowsAsync<InferenceException>(run);
        Assert.Equal((ErrorCode.NotFinite, argument), (error.Code, error.Argument?.ToString()));
    }

    private static Model Labelled(string[] labels, IGraphExecutor executor, string architecture, string[] shape)
    {
        var model = TinyModel.Create(executor: executor);
        return model with
        {
            Manifest = model.Manifest with { Config = model.Manifest.Config with { Labels = labels, Architectures = [architecture] } },
            Graph = model.Graph with { Outputs = [new GraphTensor("logits", ElementType.Float, shape)] },
        };
    }
}
