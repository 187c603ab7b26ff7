using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx.Proto;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Ablation;
using InferenceServer.Engine.Tasks.Attention;
using InferenceServer.Engine.Tasks.FillMask;
using InferenceServer.Engine.Tasks.NextToken;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tests.Scheduling;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Ablation;

/// <summary>Before and after are what the prediction says of the sequence as it is and as it is changed; the difference has the scores of both.</summary>
public sealed class AblationTaskTests
{
    private const double Tolerance = 1e-6;
    private const string Masked = "O banco da praça estava [MASK], então fui ao banco sacar dinheiro.";
    private static readonly RequestContext Context = new();

    [Fact]
    public async Task A_mask_is_that_of_the_tokens_changed_by_hand()
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder("demo-models/demo-bert"));
        await using var _ = loader;
        var ids = model.Tokenizer.Encode(Masked).Ids;
        var result = await new AblationTask().RunAsync(model, new AblationRequest { Text = Masked, Mask = [4], Prediction = new FillMaskRequest { TopK = 7 }, Task = TaskCatalogue.Prediction(model) }, Context);

        var before = Assert.IsType<FillMaskResult>(result.Before);
        var after = Assert.IsType<FillMaskResult>(result.After);
        var changed = ids.ToArray();
        changed[4] = model.Tokenizer.Named.Mask!.Id;
        var (expectedBefore, expectedAfter) = (await FillAsync(model, ids, 7), await FillAsync(model, changed, 7));
        Same(expectedBefore.Masks[0].Candidates, before.Masks[0].Candidates);
        Assert.Equal((24, 30), (before.Masks[0].Start, before.Masks[0].End)); // of the text, not of ids
        Assert.Equal([4, 6], after.Masks.Select(mask => mask.Position));
        Assert.Equal([(11, 16), (24, 30)], after.Masks.Select(mask => (mask.Start, mask.End)));
        Same(expectedAfter.Masks[1].Candidates, after.Masks[1].Candidates);

        // Every token that is among the best of one of them, with its score in both.
        var (allBefore, allAfter) = (await FillAsync(model, ids, int.MaxValue), await FillAsync(model, changed, int.MaxValue));
        Assert.All(result.Difference!, difference =>
        {
            Assert.Equal(6, difference.Position);
            Assert.Equal(allBefore.Masks[0].Candidates.Single(candidate => candidate.Token == difference.Token).Score, difference.Before, Tolerance);
            Assert.Equal(allAfter.Masks[1].Candidates.Single(candidate => candidate.Token == difference.Token).Score, difference.After, Tolerance);
        });
        Assert.Superset(before.Masks[0].Candidates.Concat(after.Masks[1].Candidates).Select(candidate => candidate.Token).ToHashSet(), result.Difference!.Select(difference => difference.Token!).ToHashSet());
    }

    [Fact]
    public async Task Removed_tokens_are_gone_from_a_decoder_and_each_is_one_change_after_the_other()
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder("demo-models/demo-gpt"));
        await using var _ = loader;
        var ids = model.Tokenizer.Encode("The cat sleeps on the").Ids;
        var result = await new AblationTask().RunAsync(model, new AblationRequest { InputIds = ids, Remove = [1, 2] }, Context);
        var without = (await new NextTokenTask().RunAsync(model, new NextTokenRequest { Inputs = [TextInput.OfIds([ids[0], .. ids[3..]])] }, Context))[0];
        var after = Assert.IsType<NextTokenResult>(result.After);
        Assert.Equal(without.Candidates.Select(candidate => candidate.Id), after.Candidates.Select(candidate => candidate.Id));
        Assert.Equal(without.Candidates[0].Logprob, after.Candidates[0].Logprob, Tolerance);

        var each = await new AblationTask().RunAsync(model, new AblationRequest { InputIds = ids, Each = AblationEach.Remove }, Context);
        Assert.Equal(Enumerable.Range(0, ids.Length), each.Differences!.Select(change => change.Position));
        Assert.Null(each.After);
        var one = await new AblationTask().RunAsync(model, new AblationRequest { InputIds = ids, Remove = [1] }, Context);
        foreach (var difference in each.Differences![1].Difference)
        {
            Assert.Equal(one.Difference!.Single(other => other.Token == difference.Token).After, difference.After, Tolerance);
        }
    }

    [Fact]
    public async Task Labels_of_a_classifier_are_compared_by_name_and_segments_of_a_pair_stay()
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder("zoo/bert-rerank"));
        await using var _ = loader;
        var result = await new AblationTask().RunAsync(model, new AblationRequest { Text = "the cat sat", TextPair = "on a mat", Remove = [2], Task = TaskCatalogue.Get<TextClassificationTask>() }, Context);
        var before = (await new TextClassificationTask().RunAsync(model, new TextClassificationRequest { Inputs = [TextInput.Of("the cat sat", "on a mat")] }, Context))[0];
        var encoding = model.Tokenizer.Encode("the cat sat", "on a mat");
        int[] left = [.. Enumerable.Range(0, encoding.Length).Where(position => position != 2)];
        var changed = new GraphInput([.. left.Select(position => encoding.Ids[position])], [.. left.Select(position => encoding.TypeIds[position])]);
        var output = model.Capabilities.Head!.Output;
        var logit = await model.Executor.RunOneAsync(changed, output, (row, _) => row.Data[0]);
        var difference = Assert.Single(result.Difference!);
        Assert.Equal((before.Labels[0].Label, null, null), (difference.Label, difference.Token, difference.Position));
        Assert.Equal(before.Labels[0].Score, difference.Before, Tolerance);
        Assert.Equal(1 / (1 + Math.Exp(-logit)), difference.After, Tolerance);
    }

    [Theory]
    [InlineData("zoo/bart")]
    [InlineData("zoo/t5-small-like")]
    [InlineData("zoo/marian-en-pt")]
    public async Task A_target_is_fixed_and_its_log_probabilities_are_told(string folder)
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder(folder));
        await using var _ = loader;
        var reference = new ReferenceCases(TestData.ModelFolder(folder)).Cases.First(one => one.Target is { Length: > 2 } && one.Text is { Length: > 0 });
        var result = await new AblationTask().RunAsync(model, new AblationRequest { Text = reference.Text, TargetIds = reference.Target, Remove = [1] }, Context);
        Assert.Equal(Enumerable.Range(1, reference.Target!.Length - 1), result.Difference!.Select(difference => difference.Position!.Value));
        Assert.All(result.Difference!, difference => Assert.InRange(difference.Before, -100, 0));
        Assert.Contains(result.Difference!, difference => Math.Abs(difference.Before - difference.After) > 1e-4);

        // The same source without the token, as ids of its own.
        var ids = model.Tokenizer.Encode(reference.Text!).Ids;
        var shorter = await new AblationTask().RunAsync(model, new AblationRequest { InputIds = [ids[0], .. ids[2..]], TargetIds = reference.Target, Remove = [0] }, Context);
        Assert.All(result.Difference!.Zip(shorter.Difference!), pair => Assert.Equal(pair.Second.Before, pair.First.After, 1e-5));
    }

    [Theory]
    [InlineData("demo-models/demo-bert", "Remove[0]", "goes from 0 to", new[] { 99 }, new int[0])]
    [InlineData("demo-models/demo-bert", "Mask[0]", "repeats 3", new[] { 3 }, new[] { 3 })]
    [InlineData("demo-models/demo-bert", "Remove", "Nothing is changed", new int[0], new int[0])]
    [InlineData("demo-models/demo-gpt", "Mask", "no mask token", new int[0], new[] { 1 })]
    public async Task What_cannot_be_changed_is_refused_with_its_field(string folder, string argument, string says, int[] remove, int[] mask)
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder(folder));
        await using var _ = loader;
        var refused = await Assert.ThrowsAsync<InferenceException>(() => new AblationTask().RunAsync(model, new AblationRequest { Text = Masked, Remove = remove, Mask = mask }, Context));
        Assert.Equal((ErrorCode.Unprocessable, argument), (refused.Code, refused.Argument!.ToString()));
        Assert.Contains(says, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("bert-classify", "/attention/output/dense/MatMul", "")]
    [InlineData("gptneox-with-past", "/attention/dense/MatMul", "")]
    [InlineData("bart", "/self_attn/out_proj/MatMul", "encoder")]
    [InlineData("bart", "/self_attn/out_proj/MatMul", "decoder")]
    [InlineData("bart", "/encoder_attn/out_proj/MatMul", "cross")]
    public async Task A_head_that_is_switched_off_is_one_whose_rows_of_the_output_projection_are_zero(string name, string projection, string kindName)
    {
        const int Layer = 1;
        const int Head = 2;
        using var directory = new TemporaryFolder();
        var folder = Path.Combine(directory.Path, name);
        TemporaryFolder.Copy(TestData.ModelFolder("zoo/" + name), folder, file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
        var kind = kindName.Length == 0 ? (AttentionKind?)null : Enum.Parse<AttentionKind>(kindName, ignoreCase: true);
        var graphs = Directory.EnumerateFiles(folder, "*.onnx", SearchOption.AllDirectories).Where(file => kind is null || (kind == AttentionKind.Encoder) == Path.GetFileName(file).Contains("encoder", StringComparison.Ordinal)).ToList();
        Assert.NotEmpty(graphs);
        Assert.All(graphs, file => ZeroRows(file, projection, Layer, Head));

        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder("zoo/" + name));
        await using var _ = loader;
        var (changed, without) = await ReferenceCases.Load(folder);
        await using var __ = changed;
        var request = new AblationRequest { Text = "The cat sat on it", TargetIds = kind is null ? null : [2, 5, 7, 9], Heads = [new AblationHead(Layer, Head, kind)] };
        var result = await new AblationTask().RunAsync(model, request, Context);
        var expected = await new AblationTask().RunAsync(without, request with { Heads = [], Remove = [1] }, Context); // its sequence as it is
        var before = expected.Difference!.ToDictionary(difference => (difference.Label, difference.Token, difference.Position), difference => difference.Before);
        var compared = result.Difference!.Where(difference => before.ContainsKey((difference.Label, difference.Token, difference.Position))).ToList();
        Assert.NotEmpty(compared);
        Assert.All(compared, difference => Assert.Equal(before[(difference.Label, difference.Token, difference.Position)], difference.After, 1e-5));
        Assert.Contains(compared, difference => Math.Abs(difference.Before - difference.After) > 1e-4);
    }

    // Rows [head * d, (head + 1) * d) of the weights that the heads of a layer are put together with.
    private static void ZeroRows(string file, string projection, int layer, int head)
    {
        var model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(file));
        var node = model.Graph.Node.Single(node => node.OpType == "MatMul" && node.Name.EndsWith(projection, StringComparison.Ordinal) && (node.Name.Contains($"layer.{layer}/", StringComparison.Ordinal) || node.Name.Contains($"layers.{layer}/", StringComparison.Ordinal)));
        var weights = model.Graph.Initializer.Single(tensor => tensor.Name == node.Input[1]);
        var (rows, columns) = ((int)weights.Dims[0], (int)weights.Dims[1]);
        var d = rows / 4; // heads of the small models
        var bytes = weights.RawData.ToByteArray();
        bytes.AsSpan(head * d * columns * sizeof(float), d * columns * sizeof(float)).Clear();
        weights.RawData = Google.Protobuf.ByteString.CopyFrom(bytes);
        File.WriteAllBytes(file, Google.Protobuf.MessageExtensions.ToByteArray(model));
    }

    [Theory]
    [InlineData(2, 0, null, "Heads[0].Layer", "layers go from 0 to 1")]
    [InlineData(0, 4, null, "Heads[0].Head", "heads go from 0 to 3")]
    [InlineData(0, 0, AttentionKind.Cross, "Heads[0].Kind", "has heads of Encoder")]
    [InlineData(0, 1, null, "Heads[1]", "named before")]
    public async Task A_head_that_is_not_there_is_refused_with_its_field(int layer, int head, AttentionKind? kind, string argument, string says)
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder("zoo/bert-classify"));
        await using var _ = loader;
        var refused = await Assert.ThrowsAsync<InferenceException>(() => new AblationTask().RunAsync(model, new AblationRequest { Text = "The cat", Heads = [new AblationHead(layer, head, kind), new AblationHead(layer, head, kind)] }, Context));
        Assert.Equal((ErrorCode.Unprocessable, argument), (refused.Code, refused.Argument!.ToString()));
        Assert.Contains(says, refused.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_decoders_continuation_is_that_of_its_generation_and_its_rows_are_those_of_one_pass()
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder("demo-models/demo-gpt"));
        await using var _ = loader;
        var result = await new AttentionTask().RunAsync(model, new AttentionRequest { Text = "O menino abriu a porta e", MaxNewTokens = 4 }, Context);
        var prompt = model.Tokenizer.Encode("O menino abriu a porta e").Ids;
        Assert.Equal(prompt, result.Tokens.Take(prompt.Length).Select(token => token.Id));
        Assert.Equal(prompt.Length + 4, result.Tokens.Count);
        for (var at = prompt.Length; at < result.Tokens.Count; at++)
        {
            var next = (await new NextTokenTask().RunAsync(model, new NextTokenRequest { Inputs = [TextInput.OfIds([.. result.Tokens.Take(at).Select(token => token.Id)])], TopK = 1 }, Context))[0];
            Assert.Equal(next.Candidates[0].Id, result.Tokens[at].Id);
            Assert.Equal(next.Candidates[0].Text, result.Tokens[at].Text);
        }

        var whole = await new AttentionTask().RunAsync(model, new AttentionRequest { InputIds = [.. result.Tokens.Select(token => token.Id)] }, Context);
        Assert.Equal(whole.Values.Length, result.Values.Length);
        Assert.All(whole.Values.Zip(result.Values), pair => Assert.Equal(pair.First, pair.Second, 1e-6f));
    }

    private static async Task<FillMaskResult> FillAsync(Model model, int[] ids, int topK) => (await new FillMaskTask().RunAsync(model, new FillMaskRequest { Inputs = [TextInput.OfIds(ids)], TopK = Math.Min(topK, model.Tokenizer.VocabularySize) }, Context))[0];

    private static void Same(IReadOnlyList<TokenCandidate> expected, IReadOnlyList<TokenCandidate> actual)
    {
        Assert.Equal(expected.Select(candidate => candidate.Id), actual.Select(candidate => candidate.Id));
        Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First.Score, pair.Second.Score, Tolerance));
    }
}
