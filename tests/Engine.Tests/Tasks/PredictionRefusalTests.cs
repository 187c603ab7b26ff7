using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.FillMask;
using InferenceServer.Engine.Tasks.NextToken;
using InferenceServer.Engine.Tasks.Perplexity;
using InferenceServer.Engine.Tasks.QuestionAnswering;
using InferenceServer.Engine.Tasks.Rerank;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tasks.TokenClassification;
using InferenceServer.Engine.Tasks.ZeroShot;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>What cannot be served is refused with the field at fault, its limit and the remedy.</summary>
public sealed class PredictionRefusalTests(ZooModels zoo)
{
    private static readonly string Long = string.Join(' ', Enumerable.Repeat("word", 3000));

    public static TheoryData<string, string, PredictionRequest, string, string[]> Refused { get; } = new()
    {
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of("no mask here", index: 0)] }, "inputs[0]", ["[MASK]"] },
        { "roberta-fill-mask", "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of("a <mask>"), TextInput.Of("b", index: 1)] }, "inputs[1]", ["<mask>"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.OfIds([2, 3])] }, "inputs[0]", ["[MASK]", "id"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of("a [MASK]")], TopK = 0 }, "top_k", ["0", "at least 1"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of("a [MASK]")], Targets = [] }, "targets", ["empty"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of("a [MASK]")], Targets = ["the", "xyzzyplugh"] }, "targets[1]", ["xyzzyplugh", "vocabulary", "becomes"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of("a [MASK]")], Targets = [""] }, "targets[0]", ["empty"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of("a [MASK]")], Targets = ["漢字"] }, "targets[0]", ["vocabulary"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of("")] }, "inputs[0]", ["empty", "1 character"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [] }, "inputs", ["empty"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.OfIds([])] }, "inputs[0]", ["empty"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.OfIds([2, 4, 1_000_000, 3])] }, "inputs[0][2]", ["1000000", "from 0 to"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.OfIds([2, -1])] }, "inputs[0][1]", ["-1", "from 0 to"] },
        { "bert-fill-mask-eager", "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of("[MASK] " + Long)] }, "inputs[0]", ["tokens long", "at most", "Shorten"] },
        { "bert-classify", "text-classification", new TextClassificationRequest { Inputs = [TextInput.Of("a")], TopK = -3 }, "top_k", ["-3", "at least 1"] },
        { "bert-classify", "text-classification", new TextClassificationRequest { Inputs = [TextInput.Of("a"), TextInput.Of(Long, index: 1)] }, "inputs[1]", ["at most"] },
        { "bert-ner", "token-classification", new TokenClassificationRequest { Inputs = [TextInput.Of("a", "b")] }, "pairs", ["single texts"] },
        { "bert-ner", "token-classification", new TokenClassificationRequest { Inputs = [TextInput.OfIds([2, 3])] }, "inputs[0]", ["token ids", "string"] },
        { "bert-ner", "token-classification", new TokenClassificationRequest { Inputs = [TextInput.Of("a")], Stride = 8 }, "stride", ["aggregation", "simple"] },
        { "bert-ner", "token-classification", new TokenClassificationRequest { Inputs = [TextInput.Of("a")], Stride = -1, Aggregation = Aggregation.First }, "stride", ["-1", "from 0 to"] },
        { "bert-ner", "token-classification", new TokenClassificationRequest { Inputs = [TextInput.Of("a")], Stride = 100_000, Aggregation = Aggregation.First }, "stride", ["100000", "from 0 to"] },
        { "bert-ner", "token-classification", new TokenClassificationRequest { Inputs = [TextInput.Of(Long)] }, "inputs[0]", ["at most", "stride"] },
        { "bert-qa", "question-answering", new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion("", "b")] }, "inputs[0].question", ["empty"] },
        { "bert-qa", "question-answering", new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion("a", "")] }, "inputs[0].context", ["empty"] },
        { "bert-qa", "question-answering", new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion(Long, "b")] }, "inputs[0].question", ["tokens long", "at most", "Shorten"] },
        { "bert-qa", "question-answering", new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion("a b c d e f g h", "b")], MaxLength = 10 }, "inputs[0].question", ["at most", "max_length"] },
        { "bert-qa", "question-answering", new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion("a", "b")], TopK = 0 }, "top_k", ["at least 1"] },
        { "bert-qa", "question-answering", new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion("a", "b")], MaxLength = 100_000 }, "max_length", ["from 1 to"] },
        { "bert-qa", "question-answering", new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion("a", "b")], MaxLength = 32, DocStride = 32 }, "doc_stride", ["from 0 to 31", "max_length"] },
        { "bert-qa", "question-answering", new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion("a", Long)], MaxLength = 32, DocStride = 30 }, "doc_stride", ["30", "at most"] },
        { "bert-qa", "question-answering", new QuestionAnsweringRequest { Inputs = [TextInput.OfQuestion("a", "b")], MaxAnswerTokens = 0 }, "max_answer_tokens", ["at least 1"] },
        { "bert-nli-zero-shot", "zero-shot", new ZeroShotRequest { Inputs = [TextInput.Of("a")] }, "candidate_labels", ["empty", "at least 1"] },
        { "bert-nli-zero-shot", "zero-shot", new ZeroShotRequest { Inputs = [TextInput.Of("a")], CandidateLabels = ["b", " "] }, "candidate_labels[1]", ["empty"] },
        { "bert-nli-zero-shot", "zero-shot", new ZeroShotRequest { Inputs = [TextInput.Of("a")], CandidateLabels = [.. Enumerable.Range(0, 10_000).Select(i => $"l{i}")] }, "candidate_labels", ["10000", "at most 1000"] },
        { "bert-nli-zero-shot", "zero-shot", new ZeroShotRequest { Inputs = [.. Enumerable.Range(0, 11).Select(i => TextInput.Of("a", index: i))], CandidateLabels = [.. Enumerable.Range(0, 1000).Select(i => $"l{i}")] }, "candidate_labels", ["11 inputs", "at most 10000"] },
        { "bert-nli-zero-shot", "zero-shot", new ZeroShotRequest { Inputs = [TextInput.Of("a")], CandidateLabels = ["b"], HypothesisTemplate = "No place." }, "hypothesis_template", ["{}"] },
        { "bert-nli-zero-shot", "zero-shot", new ZeroShotRequest { Inputs = [TextInput.Of("a")], CandidateLabels = ["b"], HypothesisTemplate = "{} {name}" }, "hypothesis_template", ["{}"] },
        { "bert-nli-zero-shot", "zero-shot", new ZeroShotRequest { Inputs = [TextInput.Of("a", "b")], CandidateLabels = ["b"] }, "pairs", ["single texts"] },
        { "bert-nli-zero-shot", "zero-shot", new ZeroShotRequest { Inputs = [TextInput.OfIds([2, 3])], CandidateLabels = ["b"] }, "inputs[0]", ["token ids"] },
        { "gpt2-with-past", "next-token", new NextTokenRequest { Inputs = [TextInput.Of("a")], TopK = -1 }, "top_k", ["at least 1"] },
        { "gpt2-with-past", "next-token", new NextTokenRequest { Inputs = [TextInput.Of("a", "b")] }, "pairs", ["single texts"] },
        { "gpt2-with-past", "perplexity", new PerplexityRequest { Inputs = [TextInput.OfIds([5])] }, "inputs[0]", ["at least 2"] },
    };

    [Theory]
    [MemberData(nameof(Refused), DisableDiscoveryEnumeration = true)]
    public async Task Is_refused(string folder, string task, PredictionRequest request, string field, string[] says)
    {
        var model = await zoo.Get(folder);
        var refused = await Assert.ThrowsAsync<InferenceException>(() => Wire.Prediction(model, task).RunAsync(model, request, new RequestContext()));
        Assert.Equal((ErrorCode.Unprocessable, field), (refused.Code, Wire.Field(refused)));
        Assert.Contains(field, Wire.Detail(refused), StringComparison.Ordinal);
        Assert.All(says, part => Assert.Contains(part, Wire.Detail(refused), StringComparison.Ordinal));
        Assert.True(Wire.Detail(refused).Length < 500, refused.Message);
    }

    [Theory]
    [InlineData("", new[] { "a" }, null, "query")]
    [InlineData("a", new string[0], null, "documents")]
    [InlineData("a", new[] { "b", "" }, null, "documents[1]")]
    [InlineData("a", new[] { "b" }, 0, "top_n")]
    public async Task Rerank_is_refused(string query, string[] documents, int? top, string field)
    {
        var model = await zoo.Get("bert-rerank");
        var refused = await Assert.ThrowsAsync<InferenceException>(() => new RerankTask().RunAsync(model, new RerankRequest { Query = query, Documents = documents, TopN = top }, new RequestContext()));
        Assert.Equal((ErrorCode.Unprocessable, field), (refused.Code, Wire.Field(refused)));
    }

    [Fact]
    public async Task Nothing_runs_when_one_input_is_refused()
    {
        var model = await zoo.Get("bert-classify");
        var queue = LogitsExecutor.PerSequence(_ => [0f, 0f, 0f]);
        await Assert.ThrowsAsync<InferenceException>(() => new TextClassificationTask().RunAsync(
            model with { Executor = queue }, new TextClassificationRequest { Inputs = [TextInput.Of("a"), TextInput.Of("", index: 1)] }, new RequestContext()));
        Assert.Equal(0, queue.Runs);
    }
}
