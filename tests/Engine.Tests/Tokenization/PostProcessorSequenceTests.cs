using System.Text;
using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tests.Manifest;
using InferenceServer.Engine.Tokenization;
using Xunit;
using static InferenceServer.Engine.Tests.Tokenization.SmallTokenizer;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>
/// Several templates one after the other: the pieces of one are the sequences of the next. What is expected was read off the reference's own library
/// (tokenizers 0.22.2).
/// </summary>
public sealed class PostProcessorSequenceTests
{
    private static readonly string[] Tokens = ["<unk>", "a", "b", "c", "d", "e", "[C]", "[S]", "[X]"];

    private static readonly (string Single, string Pair)[] Framing = [("[C]:0 $A:0", "[C]:0 $A:0 $B:1"), ("$A:0 [S]:0", "$A:0 [S]:0 $B:1 [S]:1")];

    private static readonly (string Single, string Pair)[] Swapping = [("[C]:0 $A:2", "$B:0 $A:1"), ("$A:3 [S]:4 $A:5", "$B:6 [S]:7 $A:8")];

    [Fact]
    public void Two_pieces_of_the_first_are_a_pair_for_the_second()
    {
        var encoding = Load(Framing).Encode("a b");
        Assert.Equal([6, 7, 1, 2, 7], encoding.Ids);
        Assert.Equal([0, 0, 1, 1, 1], encoding.TypeIds);
        Assert.Equal([1, 1, 0, 0, 1], encoding.SpecialTokensMask);
        Assert.Equal([(0, 0), (0, 0), (0, 1), (2, 3), (0, 0)], encoding.Offsets);
        Assert.Equal([-1, -1, 1, 1, -1], encoding.SequenceIds.Select(static s => (int)s));
    }

    [Fact]
    public void Templates_exchange_and_repeat_sequences()
    {
        var tokenizer = Load(Swapping);
        var encoding = tokenizer.Encode("a b", "c d e");
        Assert.Equal([1, 2, 7, 3, 4, 5], encoding.Ids);
        Assert.Equal([6, 6, 7, 8, 8, 8], encoding.TypeIds);
        Assert.Equal([-1, -1, -1, 1, 1, 1], encoding.SequenceIds.Select(static s => (int)s));

        encoding = tokenizer.Encode("a b");
        Assert.Equal([1, 2, 7, 6], encoding.Ids);
        Assert.Equal([1, 1, -1, 0], encoding.SequenceIds.Select(static s => (int)s));

        encoding = tokenizer.Encode("a b", addSpecialTokens: false);
        Assert.Equal([1, 2, 1, 2], encoding.Ids);
        Assert.Equal([3, 3, 5, 5], encoding.TypeIds);
        Assert.Equal([-1, -1, 0, 0], encoding.SequenceIds.Select(static s => (int)s));
    }

    [Fact]
    public void Overflow_goes_through_all_templates()
    {
        var encoding = Load(Swapping).Encode("a b c d", truncation: new Truncation(5));
        Assert.Equal([1, 2, 3, 7, 6], encoding.Ids);
        var rest = Assert.Single(encoding.Overflowing);
        Assert.Equal([4, 7, 6], rest.Ids);
        Assert.Equal([0, 7, 8], rest.TypeIds);
        Assert.Equal([(6, 7), (0, 0), (0, 0)], rest.Offsets);
        Assert.Equal([3, -1, -1], rest.WordIds);
    }

    [Fact]
    public void A_pair_of_which_the_first_makes_three_pieces_is_refused_and_told()
    {
        using var folder = new Folder(("tokenizer.json", Json(Framing)));
        var tokenizer = Tokenizer.Load(folder.Path);
        Assert.Contains("pairs of texts are refused", Assert.Single(tokenizer.Notes), StringComparison.Ordinal);
        var error = Assert.Throws<InferenceException>(() => tokenizer.Encode("a b", "c"));
        Assert.Equal(ErrorCode.Unprocessable, error.Code);
        Assert.Contains("makes 3 of this input", error.Message, StringComparison.Ordinal);
        Assert.Equal([6, 7, 1, 2, 7], tokenizer.Encode("a b").Ids); // nothing of it is left behind
    }

    [Theory]
    [InlineData("[C]:0 $A:0 [S]:0")]
    [InlineData("[C]:0 [C]:0 $A:0 [S]:0")]
    public void Single_texts_that_the_reference_crashes_on_refuse_the_folder(string single)
    {
        var error = Assert.Throws<ModelLoadException>(() => Load((single, "$A:0 $B:1"), ("$A:0 [S]:0", "$A:0 [S]:0 $B:1")));
        Assert.Contains("$.post_processor.processors", error.Message, StringComparison.Ordinal);
    }

    private static Tokenizer Load(params (string Single, string Pair)[] templates) =>
        new(TokenizerReader.Parse(Encoding.UTF8.GetBytes(Json(templates))), new TokenizerConfig(Path.GetTempPath()));

    private static string Json((string Single, string Pair)[] templates) => SmallTokenizer.Json(
        Words(Tokens), null, Of("Whitespace"), Of("Sequence", ("processors", new JsonArray([.. templates.Select(static t => Template(Tokens, t.Single, t.Pair))])))).ToJsonString();
}
