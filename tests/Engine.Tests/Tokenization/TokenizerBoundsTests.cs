using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;
using InferenceServer.Engine.Tokenization.Models;
using InferenceServer.Engine.Tokenization.Patterns;
using InferenceServer.Engine.Tokenization.PreTokenizers;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>What a text may cost the tokenizer: it stops where the rest cannot matter, where nobody waits any more, and where a pattern runs away.</summary>
public sealed class TokenizerBoundsTests : IDisposable
{
    private const string Words = "one two three four ";
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [MemberData(nameof(GoldenTokenizerTests.Folders), MemberType = typeof(GoldenTokenizerTests))]
    public void A_text_that_is_cut_at_the_right_gives_what_the_whole_text_gives_when_it_is_cut(string name)
    {
        var path = Path.Combine(TestData.Goldens, "tokenizers", name);
        var tokenizer = Tokenizer.Load(path);
        string[] texts = [.. GoldenTokenizerTests.Lines(Path.Combine(path, "cases.jsonl.gz")).Select(static line => JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!).Where(static text => text.Length is > 0 and < 2000)];
        var random = new Random(name.Length);
        var cut = 0;
        for (var i = 0; i < 60; i++)
        {
            var text = Long();
            var pair = i % 2 == 0 ? null : Long();
            var special = random.Next(4) > 0;
            var most = random.Next(1, 40) + (special ? tokenizer.SpecialTokensToAdd(pair is not null) : 0);
            var strategy = i % 5 == 0 && pair is not null ? (TruncationStrategy)random.Next(3) : TruncationStrategy.LongestFirst;
            var whole = Outcome(new Truncation(most, 0, strategy));
            if (whole.Error is { } error && error.StartsWith("With ", StringComparison.Ordinal))
            {
                continue; // too many pieces to be kept
            }

            var stopped = Outcome(new Truncation(most, 0, strategy) { KeepsRest = false });
            Assert.Equal(whole, stopped);
            cut += whole.IsTruncated ? 1 : 0;

            (string? Error, string Written, bool IsTruncated) Outcome(Truncation truncation)
            {
                try
                {
                    var encoding = tokenizer.Encode(text, pair, special, truncation);
                    var written = JsonSerializer.Serialize(new { encoding.Ids, encoding.TypeIds, Offsets = encoding.Offsets.Select(static o => $"{o.Start}-{o.End}"), encoding.SpecialTokensMask, encoding.WordIds, encoding.SequenceIds, encoding.AttentionMask, encoding.Tokens });
                    return (null, written, encoding.IsTruncated);
                }
                catch (InferenceException e)
                {
                    return (e.Message, "", false);
                }
            }
        }

        Assert.True(cut >= 10, $"only {cut} texts were cut");

        string Long() => string.Join(random.Next(2) == 0 ? " " : "", Enumerable.Range(0, random.Next(1, 30)).Select(_ => texts[random.Next(texts.Length)]));
    }

    [Theory]
    [InlineData("BertPreTokenizer")]
    [InlineData("Whitespace")]
    [InlineData("WhitespaceSplit")]
    public void A_long_text_is_split_in_sections_as_it_is_split_as_a_whole(string preTokenizer)
    {
        // Words of all kinds, joined by a space: the whole is what its words are, one behind the other.
        string[] words = ["tree", "tre", "!", "a!b", "!!", "\U0001D11E", "\U0001F600!", "e\u0301", "\u3000", "\u00BF", "x\u2003y", "\r\n", "[MASK]", new string('q', 50_000)];
        var model = SmallTokenizer.Words("[UNK]", "tree", "!", "a", "b", "a!b");
        var added = new System.Text.Json.Nodes.JsonObject { ["id"] = 6, ["content"] = "[MASK]", ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false, ["special"] = true };
        File.WriteAllText(Path.Combine(folder.Path, "tokenizer.json"), SmallTokenizer.Json(model, preTokenizer: SmallTokenizer.Of(preTokenizer), added: added).ToJsonString());
        var tokenizer = Tokenizer.Load(folder.Path);
        var random = new Random(3);
        List<(int Id, (int, int) Offsets, int Word)> expected = [];
        var text = new System.Text.StringBuilder();
        var word = 0;
        while (text.Length < 600_000)
        {
            var next = words[random.Next(50) == 0 ? words.Length - 1 : random.Next(words.Length - 1)];
            var part = tokenizer.Encode(next);
            for (var i = 0; i < part.Length; i++)
            {
                expected.Add((part.Ids[i], (part.Offsets[i].Start + text.Length, part.Offsets[i].End + text.Length), part.WordIds[i] + word));
            }

            word += part.Length == 0 ? 0 : part.WordIds[^1] + 1;
            text.Append(next).Append(' ');
        }

        var whole = tokenizer.Encode(text.ToString());
        Assert.Equal(expected, whole.Ids.Select((id, i) => (id, whole.Offsets[i], whole.WordIds[i])));
    }

    [Theory]
    [InlineData(Side.Right, false, 4)] // three tokens are kept, a fourth says that something is cut
    [InlineData(Side.Right, true, 4000)]
    [InlineData(Side.Left, false, 4000)]
    public void The_model_sees_no_more_of_a_text_than_matters(Side direction, bool keepsRest, int pieces)
    {
        var model = new CountingModel();
        var encoding = Build(model).Encode(Repeated(Words, 1000), truncation: new Truncation(3, Direction: direction) { KeepsRest = keepsRest });
        Assert.Equal((3, true), (encoding.Length, encoding.IsTruncated));
        Assert.Equal(pieces, model.Pieces);
    }

    [Theory]
    [InlineData(6, 12, 7 + 7)] // of an even number each keeps the half
    [InlineData(7, 12, 8 + 8 + 12 + 13)] // of an odd one the longer keeps one more: the first is read to its end, the second one token further
    [InlineData(7, 4, 4 + 8)] // the first keeps all it has
    public void Of_a_pair_the_model_sees_what_tells_how_much_each_text_keeps(int most, int first, int pieces)
    {
        var model = new CountingModel();
        var encoding = Build(model).Encode(Repeated(Words, first / 4), Repeated(Words, 1000), truncation: new Truncation(most) { KeepsRest = false });
        Assert.Equal((most, true), (encoding.Length, encoding.IsTruncated));
        Assert.Equal(pieces, model.Pieces);
    }

    [Fact]
    public void A_request_that_was_given_up_costs_a_few_thousand_characters_more_at_most()
    {
        using var gone = new CancellationTokenSource();
        var model = new CountingModel { At = 100, Do = gone.Cancel };
        Assert.Throws<OperationCanceledException>(() => Build(model).Encode(Repeated(Words, 100_000), work: new WorkLimits(gone.Token)));
        Assert.InRange(model.Pieces, 100, 100 + 4096);
    }

    [Fact]
    public void A_request_that_was_given_up_ends_in_the_middle_of_a_pattern()
    {
        using var gone = new CancellationTokenSource();
        gone.Cancel();
        var work = new WorkLimits(gone.Token);
        Assert.Throws<OperationCanceledException>(() =>
        {
            using var matcher = new RegexMatcher(RegexProgram.Compile("(?:a+)+b"), "aaaac", work);
            matcher.Find(0, out _, out _);
        });
    }

    [Fact]
    public void The_steps_of_a_pattern_are_those_of_the_request_and_not_of_each_piece_and_each_text()
    {
        var split = SmallTokenizer.Of("Split", ("pattern", new System.Text.Json.Nodes.JsonObject { ["Regex"] = "(?:a+)+b" }), ("behavior", "Isolated"), ("invert", false));
        File.WriteAllText(Path.Combine(folder.Path, "tokenizer.json"), SmallTokenizer.Json(SmallTokenizer.Words("[UNK]"), preTokenizer: split).ToJsonString());
        var tokenizer = Tokenizer.Load(folder.Path);
        var work = new WorkLimits();
        var hostile = new string('a', 40) + "c";
        var error = Assert.Throws<InferenceException>(() => tokenizer.Encode(hostile, work: work));
        Assert.Equal(ErrorCode.Unprocessable, error.Code);
        Assert.Contains("too many steps", error.Message, StringComparison.Ordinal);

        // Nothing is left for the next text of the same request but what its own characters allow; another request has its own.
        Assert.Equal(0, work.Take(1));
        Assert.Throws<InferenceException>(() => tokenizer.Encode(hostile, work: work));
        Assert.Equal(1, tokenizer.Encode("aaac").Length);
    }

    [Fact]
    public void Characters_count_as_often_as_they_are_tokenised()
    {
        var context = new RequestContext { MaxTokens = 10 };
        context.RequireCharacters(640);
        context.AddCharacters(640);
        context.AddCharacters(0);
        var error = Assert.Throws<InferenceException>(() => context.AddCharacters(64));
        Assert.Equal((ErrorCode.Unprocessable, nameof(context.MaxTokens)), (error.Code, error.Limit));
        Assert.Throws<InferenceException>(() => context.RequireCharacters(64));
    }

    [Fact]
    public void A_text_of_more_tokens_than_a_request_may_have_is_given_up_at_the_first_that_is_too_many()
    {
        var model = new CountingModel();
        var tokenizer = Build(model);
        var context = new RequestContext { MaxTokens = 10 };
        Assert.Equal(10, tokenizer.Encode(Repeated("word ", 10), work: context.Work).Length);
        var error = Assert.Throws<InferenceException>(() => tokenizer.Encode(Repeated("word ", 1000), work: context.Work));
        Assert.Equal((ErrorCode.Unprocessable, nameof(context.MaxTokens)), (error.Code, error.Limit));
        Assert.Equal(10 + 11, model.Pieces);
    }

    private static string Repeated(string text, int count) => string.Concat(Enumerable.Repeat(text, count));

    private Tokenizer Build(CountingModel model) => new(new TokenizerParts { Model = model, PreTokenizer = new WhitespaceSplit() }, new TokenizerConfig(folder.Path));

    /// <summary>One token a piece; counts the pieces, and does something at one of them.</summary>
    private sealed class CountingModel() : TokenizerModel(new Vocabulary(["word"]))
    {
        public int Pieces { get; private set; }

        public int At { get; init; } = -1;

        public Action? Do { get; init; }

        public override void Tokenize(ReadOnlySpan<char> piece, bool byteLevel, TokenBuffer tokens)
        {
            tokens.Add(new TokenItem(0, 0, piece.Length));
            if (++Pieces == At)
            {
                Do!();
            }
        }
    }
}
