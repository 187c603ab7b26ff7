using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.FillMask;
using InferenceServer.Engine.Tasks.QuestionAnswering;
using InferenceServer.Engine.Tasks.Rerank;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tasks.TokenClassification;
using InferenceServer.Engine.Tasks.ZeroShot;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>The rules of the predictions on logits that a test makes up; the tokenizers are real.</summary>
public sealed class PredictionRuleTests(ZooModels zoo)
{
    private static readonly string[] Bio = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"];

    [Theory]
    [InlineData("B-PER I-PER", "PER 0-3")]
    [InlineData("B-PER B-PER", "PER 0-1; PER 2-3")]
    [InlineData("I-PER B-PER", "PER 0-1; PER 2-3")]
    [InlineData("I-PER I-LOC", "PER 0-1; LOC 2-3")]
    [InlineData("B-LOC O", "LOC 0-1")]
    [InlineData("O O", "")]
    public async Task Entities_are_joined_by_their_marks(string labels, string expected)
    {
        var wanted = labels.Split(' ');
        var entities = await Entities(". .", (_, position) => position is 1 or 2 ? wanted[position - 1] : "O", Aggregation.Simple);
        Assert.Equal(expected, string.Join("; ", entities.Select(e => $"{e.Label} {e.Start}-{e.End}")));
    }

    [Fact]
    public async Task Without_aggregation_every_token_stands_alone_with_its_mark_and_index()
    {
        var entity = Assert.Single(await Entities(". .", (_, position) => position == 2 ? "I-LOC" : "O", Aggregation.None));
        Assert.Equal(("I-LOC", 2, 3, ".", 2), (entity.Label, entity.Start, entity.End, entity.Text, entity.TokenIndex!.Value));
    }

    [Fact]
    public async Task Offsets_count_code_points()
    {
        var entity = Assert.Single(await Entities("😀 .", (_, position) => position == 2 ? "B-PER" : "O", Aggregation.Simple));
        Assert.Equal((2, 3, "."), (entity.Start, entity.End, entity.Text));
    }

    [Theory]
    [InlineData(Aggregation.First)]
    [InlineData(Aggregation.Average)]
    [InlineData(Aggregation.Max)]
    public async Task A_long_text_in_windows_has_the_entities_of_the_whole(Aggregation aggregation)
    {
        var text = string.Join(' ', Enumerable.Repeat("Maria da Silva works for Debian in São Paulo, and Roland Mas wrote the handbook 😀 in Lyon.", 12));
        var tokenizer = (await Bert()).Tokenizer;
        var (stop, comma) = (tokenizer.TokenToId("."), tokenizer.TokenToId(","));
        string Label(int id, int position) => id == stop ? "B-PER" : id == comma ? "B-LOC" : "O";
        var whole = await Entities(text, Label, aggregation, most: 100_000);
        var windows = await Entities(text, Label, aggregation, most: 48, stride: 20);
        Assert.Equal(24, whole.Count);
        Assert.Equal(whole.Select(Show), windows.Select(Show));

        static string Show(Entity e) => $"{e.Label} {e.Start}-{e.End} {e.Score:F5}";
    }

    [Fact]
    public async Task Ignored_labels_can_be_named()
    {
        var model = await Bert();
        var result = await Run<TokenClassificationResult>(
            model with { Executor = PerLabel((_, position) => position == 1 ? "B-PER" : "O") },
            new TokenClassificationRequest { Inputs = [TextInput.Of(". .")], Aggregation = Aggregation.Simple, IgnoreLabels = ["PER"] });
        Assert.Equal("O", Assert.Single(result.Entities).Label);
    }

    [Theory]
    [InlineData(null, null, 0.0900306)]
    [InlineData("multi_label_classification", null, 0.7310586)]
    [InlineData("regression", null, 1.0)]
    [InlineData("regression", ScoreFunction.Softmax, 0.0900306)]
    [InlineData(null, ScoreFunction.Sigmoid, 0.7310586)]
    [InlineData("multi_label_classification", ScoreFunction.None, 1.0)]
    public async Task The_problem_decides_the_function_unless_the_request_does(string? problem, ScoreFunction? function, double lowest)
    {
        var model = await zoo.Get("bert-classify");
        var asked = model with
        {
            Executor = LogitsExecutor.PerSequence(_ => [1f, 2f, 3f]),
            Manifest = model.Manifest with { Config = model.Manifest.Config with { ProblemType = problem } },
        };
        var result = await Run<TextClassificationResult>(asked, new TextClassificationRequest { Inputs = [TextInput.Of("a")], Function = function, TopK = 100 });
        Assert.Equal([model.Manifest.Config.Labels[2], model.Manifest.Config.Labels[1], model.Manifest.Config.Labels[0]], result.Labels.Select(l => l.Label));
        Assert.Equal(lowest, result.Labels[2].Score, 6);
    }

    [Fact]
    public async Task One_label_without_a_problem_type_gets_a_sigmoid()
    {
        var model = await zoo.Get("bert-rerank");
        var result = await Run<TextClassificationResult>(model with { Executor = LogitsExecutor.PerSequence(_ => [1f]) }, new TextClassificationRequest { Inputs = [TextInput.Of("a", "")] });
        Assert.Equal(0.7310586, Assert.Single(result.Labels).Score, 6);
    }

    [Fact]
    public async Task Targets_keep_their_probability_among_the_whole_vocabulary()
    {
        var model = await zoo.Get("bert-fill-mask-eager");
        var all = await Run<FillMaskResult>(model, new FillMaskRequest { Inputs = [TextInput.Of("The [MASK] runs.")], TopK = int.MaxValue });
        Assert.Equal(model.Manifest.Config.VocabularySize, all.Masks[0].Candidates.Count);
        Assert.Equal(1, all.Masks[0].Candidates.Sum(c => c.Score), 4);

        var words = all.Masks[0].Candidates.Skip(50).Take(3).Select(c => c.Token).ToList();
        var some = await Run<FillMaskResult>(model, new FillMaskRequest { Inputs = [TextInput.Of("The [MASK] runs.")], Targets = [words[2], words[0], words[1], words[0]], TopK = 10 });
        Assert.Equal(words, some.Masks[0].Candidates.Select(c => c.Token));
        Assert.Equal(all.Masks[0].Candidates.Skip(50).Take(3).Select(c => c.Score), some.Masks[0].Candidates.Select(c => c.Score));

        // The vocabulary is lower case; the tokenizer makes the word one of its tokens.
        var upper = await Run<FillMaskResult>(model, new FillMaskRequest { Inputs = [TextInput.Of("The [MASK] runs.")], Targets = ["THE"] });
        Assert.Equal("the", Assert.Single(upper.Masks[0].Candidates).Token);
    }

    [Fact]
    public async Task Masks_of_a_pair_have_the_offsets_of_their_own_text()
    {
        var model = await zoo.Get("bert-fill-mask-eager");
        var result = await Run<FillMaskResult>(model, new FillMaskRequest { Inputs = [TextInput.Of("😀 [MASK]", "a [MASK]")], TopK = 1 });
        Assert.Equal([(2, 8), (2, 8)], result.Masks.Select(m => (m.Start, m.End)));
    }

    [Fact]
    public async Task Ready_ids_run_as_they_are()
    {
        var model = await zoo.Get("bert-fill-mask-eager");
        var ids = model.Tokenizer.Encode("The [MASK] runs.").Ids;
        var text = await Run<FillMaskResult>(model, new FillMaskRequest { Inputs = [TextInput.Of("The [MASK] runs.")] });
        var same = await Run<FillMaskResult>(model, new FillMaskRequest { Inputs = [TextInput.OfIds(ids)] });
        Assert.Equal(text.Masks[0].Candidates, same.Masks[0].Candidates);
    }

    [Theory]
    [InlineData("neutral", "contradiction", "entailment", 1)]
    [InlineData("entailment", "contradiction", "neutral", 1)]
    [InlineData("Entailment", "neutral", "Contradictory", 2)]
    [InlineData("not_entailment", "neutral", "entailment", 0)]
    [InlineData("neutral", "refuted", "entailment", 0)]
    public async Task Contradiction_is_found_by_its_name(string first, string second, string third, int contradiction)
    {
        float[] logits = [1f, 2f, 4f];
        string[] labels = [first, second, third];
        var model = await zoo.Get("bert-nli-zero-shot");
        var asked = model with
        {
            Executor = LogitsExecutor.PerSequence(_ => logits),
            Manifest = model.Manifest with { Config = model.Manifest.Config with { Labels = labels } },
        };
        var entailment = Array.FindIndex(labels, l => l.StartsWith("entail", StringComparison.OrdinalIgnoreCase));
        var result = await Run<ZeroShotResult>(asked, new ZeroShotRequest { Inputs = [TextInput.Of("a")], CandidateLabels = ["x, y"] }, "zero-shot");
        Assert.Equal("x, y", Assert.Single(result.Labels).Label);
        Assert.Equal(1 / (1 + Math.Exp(logits[contradiction] - logits[entailment])), result.Labels[0].Score, 6);
    }

    [Theory]
    [InlineData("It is {}.", "the files", "It is the files.")]
    [InlineData("{0} and {}", "files", "files and files")]
    [InlineData("{{}} {}", "files", "{} files")]
    public async Task The_label_goes_where_the_template_says(string template, string label, string hypothesis)
    {
        var model = await zoo.Get("bert-nli-zero-shot");
        var seen = new List<int[]>();
        var asked = model with
        {
            Executor = LogitsExecutor.PerSequence(ids =>
            {
                seen.Add(ids);
                return [0f, 0f, 0f];
            }),
        };
        await Run<ZeroShotResult>(asked, new ZeroShotRequest { Inputs = [TextInput.Of("a")], CandidateLabels = [label], HypothesisTemplate = template }, "zero-shot");
        Assert.Equal(model.Tokenizer.Encode("a", hypothesis).Ids, seen[0]);
    }

    [Fact]
    public async Task Equal_answers_are_added_up_whatever_their_case()
    {
        // Tokens that may be the answer: 'Debian' and 'debian' and 'in'.
        var model = await zoo.Get("bert-qa");
        const string Text = "Debian in debian.";
        var window = model.Tokenizer.Encode("Who?", Text);
        var starts = Enumerable.Range(0, window.Length).Where(i => window.SequenceIds[i] == 1 && window.Offsets[i].Start is 0 or 10).ToList();
        var result = await Answers(model, Text, new QuestionAnsweringRequest { TopK = 5, MaxAnswerTokens = 20 }, (input, name) => [.. Enumerable.Range(0, input.InputIds.Length).Select(i =>
            window.SequenceIds[i] != 1 ? 50f
            : name == "start_logits" ? (window.Offsets[i].Start is 0 or 10 ? 10f : -20f)
            : window.Offsets[i].End is 6 or 16 ? 10f : -20f)]);
        Assert.Equal("Debian", result.Answers[0].Text);
        Assert.Equal((0, 6), (result.Answers[0].Start, result.Answers[0].End));
        Assert.Equal(1, result.Answers.Count(a => a.Text.Equals("debian", StringComparison.OrdinalIgnoreCase)));
    }

    [Fact]
    public async Task Spans_are_widened_to_whole_words()
    {
        var model = await zoo.Get("bert-qa");
        const string Text = "😀 administrators install.";
        var window = model.Tokenizer.Encode("Who?", Text);
        var middle = Enumerable.Range(0, window.Length).First(i => window.SequenceIds[i] == 1 && window.Offsets[i].Start > 3);
        var result = await Answers(model, Text, new QuestionAnsweringRequest(), (input, _) => [.. Enumerable.Range(0, input.InputIds.Length).Select(i => i == middle ? 10f : -10f)]);
        Assert.Equal(("administrators", 2, 16), (result.Answers[0].Text, result.Answers[0].Start, result.Answers[0].End));
    }

    [Fact]
    public async Task The_empty_answer_wins_only_when_it_may()
    {
        var model = await zoo.Get("bert-qa");
        float[] Cls(GraphInput input, string name) => [.. Enumerable.Range(0, input.InputIds.Length).Select(i => i == 0 ? 10f : 0f)];
        var empty = await Answers(model, "The server answers.", new QuestionAnsweringRequest { HandleImpossibleAnswer = true }, Cls);
        Assert.Equal(("", 0, 0), (empty.Answers[0].Text, empty.Answers[0].Start, empty.Answers[0].End));
        Assert.True(empty.Answers[0].Score > 0.9);
        var forced = await Answers(model, "The server answers.", new QuestionAnsweringRequest(), Cls);
        Assert.NotEqual("", forced.Answers[0].Text);
    }

    [Fact]
    public async Task A_context_of_any_length_is_read_in_windows()
    {
        var model = await zoo.Get("bert-qa");
        var text = string.Join(' ', Enumerable.Repeat("The server answers.", 60_000)) + " Debian";
        var id = model.Tokenizer.Encode("Debian", addSpecialTokens: false).Ids[^1];
        var queue = new LogitsExecutor((input, _) => ([.. input.InputIds.Select(i => i == id ? 20f : 0f)], [input.InputIds.Length]));
        var result = await Run<QuestionAnsweringResult>(model with { Executor = queue }, new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion("Who?", text)] });
        Assert.True(queue.Runs > 1024);
        Assert.Equal((text.Length - 6, text.Length, "Debian"), (result.Answers[0].Start, result.Answers[0].End, result.Answers[0].Text));
    }

    [Fact]
    public async Task Rerank_gives_the_best_and_their_texts_when_asked()
    {
        var model = await zoo.Get("bert-rerank");
        var asked = model with { Executor = LogitsExecutor.PerSequence(ids => [ids.Length]) };
        var result = await new RerankTask().RunAsync(asked, new RerankRequest { Query = "a", Documents = ["a", "a a a", "a a"], TopN = 2, ReturnDocuments = true }, new RequestContext());
        Assert.Equal([(1, "a a a"), (2, "a a")], result.Results.Select(r => (r.Index, r.Document)));
    }

    [Theory]
    [InlineData("bert-embed-sdpa")]
    [InlineData("demo-bert")]
    public async Task A_bi_encoder_ranks_by_similarity(string folder)
    {
        var model = await zoo.Get(folder);
        var result = await new RerankTask().RunAsync(
            model, new RerankRequest { Query = "The server answers questions.", Documents = ["O banco da praça.", "The server answers questions."] }, new RequestContext());
        Assert.Equal(1, result.Results[0].Index);
        Assert.True(result.Results[0].Score > result.Results[1].Score);
    }

    private async Task<Model> Bert()
    {
        var model = await zoo.Get("bert-ner");
        return model with { Manifest = model.Manifest with { Config = model.Manifest.Config with { Labels = Bio } } };
    }

    private static LogitsExecutor PerLabel(Func<int, int, string> label) => LogitsExecutor.PerToken(Bio.Length, (id, position) =>
    {
        var best = Array.IndexOf(Bio, label(id, position));
        return [.. Enumerable.Range(0, Bio.Length).Select(i => i == best ? 5f + (id % 3) : 0f)];
    });

    private async Task<IReadOnlyList<Entity>> Entities(string text, Func<int, int, string> label, Aggregation aggregation, int most = 512, int? stride = null)
    {
        var model = await Bert() with { Executor = PerLabel(label), MaxTokens = most };
        return (await Run<TokenClassificationResult>(model, new TokenClassificationRequest { Inputs = [TextInput.Of(text)], Aggregation = aggregation, Stride = stride })).Entities;
    }

    private static Task<QuestionAnsweringResult> Answers(Model model, string text, QuestionAnsweringRequest request, Func<GraphInput, string, float[]> logits) =>
        Run<QuestionAnsweringResult>(
            model with { Executor = new LogitsExecutor((input, name) => (logits(input, name), [input.InputIds.Length])) },
            request with { Inputs = [TextInput.OfQuestion("Who?", text)] });

    private static async Task<T> Run<T>(Model model, PredictionRequest request, string? task = null)
        where T : PredictionResult => (T)Assert.Single(await Wire.Prediction(model, task).RunAsync(model, request, new RequestContext(TestContext.Current.CancellationToken)));
}
