using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Detokenize;
using InferenceServer.Engine.Tasks.Tokenize;
using InferenceServer.Engine.Tests.Manifest;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Tokenize;

public class TokenizeTaskTests
{
    [Fact]
    public async Task Tokens_come_with_offsets_in_code_points_and_words()
    {
        var item = Assert.Single((await Run(new() { Inputs = ["😀 cats"], Pairs = ["sat"] })).Items);
        Assert.Equal([2, 1, 6, 8, 3, 7, 3], item.Ids);
        Assert.Equal(["[CLS]", "[UNK]", "cat", "##s", "[SEP]", "sat", "[SEP]"], item.Tokens);
        Assert.Equal([[0, 0], [0, 1], [2, 5], [5, 6], [0, 0], [0, 3], [0, 0]], item.Offsets);
        Assert.Equal([0, 0, 0, 0, 0, 1, 1], item.TypeIds);
        Assert.Equal([1, 0, 0, 0, 1, 0, 1], item.SpecialTokensMask);
        Assert.Equal([null, 0, 1, 1, null, 0, null], item.WordIds);
        Assert.Null(item.Overflow);
    }

    [Fact]
    public async Task Empty_texts_are_fine_and_typed_special_tokens_are_not_the_tokenizers()
    {
        var items = (await Run(new() { Inputs = ["", "[MASK]"] })).Items;
        Assert.Equal([2, 3], items[0].Ids);
        Assert.Equal([1, 0, 1], items[1].SpecialTokensMask);
        Assert.Empty((await Run(new() { Inputs = [""], AddSpecialTokens = false })).Items[0].Ids);
    }

    [Fact]
    public async Task What_is_cut_off_is_answered_as_overflow()
    {
        var item = (await Run(new() { Inputs = ["the cat sat the cat"], MaxLength = 5, Stride = 1 })).Items[0];
        Assert.Equal([2, 5, 6, 7, 3], item.Ids);
        Assert.Equal([[2, 7, 5, 6, 3]], item.Overflow!.Select(piece => piece.Ids));
        Assert.Equal([8, 11], item.Overflow![0].Offsets[1]);
        var cut = (await Run(new() { Inputs = [string.Join(' ', Enumerable.Repeat("cat", 30))], Truncate = true })).Items[0];
        Assert.Equal(12, cut.Ids.Count);
        Assert.Null(cut.Overflow);
    }

    [Fact]
    public async Task Pieces_that_would_outgrow_the_text_by_far_are_refused_before_they_are_made()
    {
        // The pieces of a pair are those of one side by those of the other: here 3,000 x 3,000.
        var text = string.Join(' ', Enumerable.Repeat("cat", 3_000));
        var before = GC.GetAllocatedBytesForCurrentThread();
        var pair = await Assert.ThrowsAsync<InferenceException>(() => Run(new() { Inputs = [text], Pairs = [text], MaxLength = 5, Stride = 0 }));
        Assert.Equal(ErrorCode.TooLarge, pair.Code);
        Assert.Contains("max_length", Wire.Detail(pair), StringComparison.Ordinal);
        var many = await Assert.ThrowsAsync<InferenceException>(() => Run(new() { Inputs = [text], MaxLength = 2_002, Stride = 1_999, AddSpecialTokens = true }, new RequestContext { MaxTokens = 100_000 }));
        Assert.Equal(ErrorCode.TooLarge, many.Code);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 200 << 20);

        // What is not answered is not made either.
        Assert.Equal(12, (await Run(new() { Inputs = [text], Pairs = [text], Truncate = true })).Items[0].Ids.Count);
    }

    [Fact]
    public async Task Bad_options_are_named()
    {
        (TokenizeRequest Request, string Field, string Said)[] cases =
        [
            (new() { Inputs = [] }, "inputs", "at least 1"),
            (new() { Inputs = ["cat"], Pairs = ["cat", "sat"] }, "pairs", "same number"),
            (new() { Inputs = ["cat"], Stride = 1 }, "stride", "truncate"),
            (new() { Inputs = ["cat"], MaxLength = 2 }, "max_length", "3"),
            (new() { Inputs = ["cat"], MaxLength = 5, Stride = 3 }, "stride", "0 to 2"),
            (new() { Inputs = ["cat"], MaxLength = 5, Stride = -1 }, "stride", "0 to 2"),
        ];
        foreach (var (request, field, said) in cases)
        {
            var error = await Assert.ThrowsAsync<InferenceException>(() => Run(request));
            Assert.Equal(field, Wire.Field(error));
            Assert.Contains(said, Wire.Detail(error), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Every_text_that_the_vocabulary_cannot_express_is_named()
    {
        using var folder = new Folder(("tokenizer.json", """{"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordLevel", "vocab": {"cat": 0}, "unk_token": "[UNK]"}}"""));
        var model = TinyModel.Create() with { Tokenizer = Tokenizer.Load(folder.Path) };
        var error = await Assert.ThrowsAsync<InferenceException>(() => Call(() => new TokenizeTask().RunAsync(model, new TokenizeRequest { Inputs = ["cat", "dog", "cat", "owl"] }, new RequestContext())));
        Assert.Equal([Argument.Of("Inputs")[1], Argument.Of("Inputs")[3]], error.Errors.Select(e => e.Argument));
        Assert.Equal("inputs[1]", Wire.Field(error));
        Assert.Contains("cannot be tokenised", Wire.Detail(error), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_id_that_the_vocabulary_lacks_is_named()
    {
        var error = await Assert.ThrowsAsync<InferenceException>(() => Decode([[5, 12], [2], [-1, 5, 99]]));
        Assert.Equal([Argument.Of("Ids")[0][1], Argument.Of("Ids")[2][0], Argument.Of("Ids")[2][2]], error.Errors.Select(e => e.Argument));
    }

    [Fact]
    public async Task Ids_become_text_again()
    {
        Assert.Equal(["the cats", ""], (await Decode([[2, 5, 6, 8, 3], []])).Texts);
        Assert.Equal(["[CLS] the [SEP]"], (await Decode([[2, 5, 3]], skip: false)).Texts);
        Assert.Equal("ids[0][1]", Wire.Field(await Assert.ThrowsAsync<InferenceException>(() => Decode([[5, 12]]))));
        Assert.Equal("ids[1][0]", Wire.Field(await Assert.ThrowsAsync<InferenceException>(() => Decode([[5], [-1]]))));
        Assert.Equal("ids", Wire.Field(await Assert.ThrowsAsync<InferenceException>(() => Decode([]))));
    }

    private static Task<TokenizeResult> Run(TokenizeRequest request, RequestContext? context = null) =>
        Call(() => new TokenizeTask().RunAsync(TinyModel.Create(), request, context ?? new RequestContext()));

    private static Task<DetokenizeResult> Decode(int[][] ids, bool skip = true) =>
        Call(() => new DetokenizeTask().RunAsync(TinyModel.Create(), new DetokenizeRequest { Ids = ids, SkipSpecialTokens = skip }, new RequestContext()));

    private static async Task<T> Call<T>(Func<Task<T>> task) => await task();
}
