using System.Globalization;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization;
using InferenceServer.Engine.Tokenization.Patterns;
using InferenceServer.Engine.Tokenization.Unicode;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Regular expressions of files: Oniguruma's syntax and meaning, on code points, and no runaway.</summary>
public sealed class RegexTests
{
    [Theory]
    [InlineData("a|ab", "ab", "0-1")] // the first alternative, not the longest
    [InlineData("a*", "baac", "0-0 1-3 4-4")] // the empty match behind a match does not count
    [InlineData("a*?b", "aab", "0-3")]
    [InlineData("a++a", "aaa", "")]
    [InlineData("(?>a+)b", "aab", "0-3")]
    [InlineData("a{2}", "aaaaa", "0-2 2-4")]
    [InlineData("a{,2}", "aaa", "0-2 2-3")]
    [InlineData("a{2,3}", "aaaaa", "0-3 3-5")]
    [InlineData("(?:ab){2,}", "ababab", "0-6")]
    [InlineData("(?:a|ab)(?:c|bcd)", "abcd", "0-4")]
    [InlineData("a{x", "a{x", "0-3")] // no interval: literal
    [InlineData(@"(a)\1", "aab", "0-2")]
    [InlineData(@"(?<x>a.)\k<x>", "abab", "0-4")]
    [InlineData(@"(?i:'S)", "'s'S'ſ", "0-2 2-4 4-6")]
    [InlineData("(?i)Ä", "äÄa", "0-1 1-2")]
    [InlineData("(?i)a|b", "AB", "0-1 1-2")]
    [InlineData("x(?=y)", "xxy", "1-2")]
    [InlineData("x(?!y)", "xxy", "0-1")]
    [InlineData("(?<=a)b", "bab", "2-3")]
    [InlineData("(?<!a)b", "bab", "0-1")]
    [InlineData("(?<=a|bc)d", "adbcdd", "1-2 4-5")]
    [InlineData("(?<=a|ba)d", "bad", "2-3")]
    [InlineData(@"^a$", "a\na", "0-1 2-3")] // ^ and $ are of the line
    [InlineData(@"\Aa|a\z", "aba", "0-1 2-3")]
    [InlineData(@"a\Z", "a\n", "0-1")]
    [InlineData(@"\bé", "é aé", "0-1")]
    [InlineData(".", "a\n😀", "0-1 2-4")] // a character outside the BMP is one
    [InlineData("(?m:.)", "\n", "0-1")]
    [InlineData("[😀-😂]", "😁x", "0-2")]
    [InlineData("[^a]", "a😀", "1-3")]
    [InlineData(@"\p{Emoji_Presentation}", "a😀", "1-3")]
    [InlineData(@"\p{^L}", "a1", "1-2")]
    [InlineData(@"\P{L}", "a1", "1-2")]
    [InlineData(@"\p{Script_Extensions}|a", "a", null)]
    [InlineData(@"[\p{Han}\p{Hiragana}]+", "漢かx", "0-2")]
    [InlineData("[[:^alpha:]]", "a1", "1-2")]
    [InlineData("[a-z&&[^aeiou]]+", "abc", "1-3")]
    [InlineData("[a[bc]]+", "abcd", "0-3")]
    [InlineData("[]a]", "]a", "0-1 1-2")]
    [InlineData(@"[a\-z]", "b-", "1-2")]
    [InlineData(@"\x41\x{1F600}\u0042", "A😀B", "0-4")]
    [InlineData(@"\h+", "xf0", "1-3")]
    [InlineData(@"\R", "a\r\nb", "1-3")]
    [InlineData("(?x) a b # c", "ab", "0-2")]
    [InlineData("a(?#comment)b", "ab", "0-2")]
    [InlineData("(?:a*)*b", "aab", "0-3")]
    [InlineData("(?:a?)*?b", "aab", "0-3")]
    [InlineData(@"\X", "a", null)]
    [InlineData(@"\K", "a", null)]
    [InlineData("(a", "a", null)]
    [InlineData("a)", "a", null)]
    [InlineData("[a", "a", null)]
    [InlineData("[b-a]", "a", null)]
    [InlineData("*a", "a", null)]
    [InlineData("a{3,2}", "a", null)]
    [InlineData(@"\p{Nonsense}", "a", null)]
    [InlineData("(?<=a+)b", "a", null)]
    [InlineData("(?~ab)", "a", null)]
    public void Matches_as_Oniguruma_does(string regex, string text, string? expected)
    {
        if (expected is null)
        {
            var refusal = Assert.Throws<FormatException>(() => RegexProgram.Compile(regex));
            Assert.Contains("at character", refusal.Message, StringComparison.Ordinal);
            return;
        }

        Assert.Equal(expected, Find(new RegexPattern(RegexProgram.Compile(regex)), text));
    }

    [Theory]
    [InlineData("(?:a+)+b")]
    [InlineData("(?:a|aa)+b")]
    [InlineData("(?:a*)*b")]
    [InlineData(@"a+\z|a+b")]
    public void A_runaway_ends_in_an_error(string regex)
    {
        var text = new string('a', 40_000) + "c";
        var error = Assert.Throws<InferenceException>(() => Find(new RegexPattern(RegexProgram.Compile(regex)), text));
        Assert.Contains("too many steps", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nested_repetitions_are_refused_before_they_fill_the_memory()
    {
        var refusal = Assert.Throws<FormatException>(() => RegexProgram.Compile("(?:(?:(?:ab){1000}){1000}){1000}"));
        Assert.Contains("too large", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_bad_pattern_names_its_place_in_the_file()
    {
        var part = new JsonPart("tokenizer.json", "$.pre_tokenizer.pattern", JsonDocument.Parse("""{"Regex": "a(?~b)"}""").RootElement);
        var error = Assert.Throws<ModelLoadException>(() => PatternFactory.Create(part));
        Assert.StartsWith("tokenizer.json: $.pre_tokenizer.pattern.Regex:", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(@"\p{N}{1,3}")]
    [InlineData(@"\p{N}")]
    [InlineData(@"\p{N}+")]
    public void The_scanner_of_the_known_pattern_gives_what_the_pattern_gives(string numbers)
    {
        var regex = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + numbers + @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        var known = KnownPattern.TryCreate(regex);
        Assert.NotNull(known);
        var slow = new RegexPattern(RegexProgram.Compile(regex));
        var random = new Random(7);
        string[] atoms = [" ", "  ", "\n", "\r\n", "\t", "\u00A0", "a", "B", "é", "e\u0301", "1", "²", "١", "'", "'s", "'S", "'ſ", "'re", "'L", "'ll", "'ve", ".", "!?", "😀", "𝒳", "𝟙", "漢", "_", "-"];
        for (var i = 0; i < 20_000; i++)
        {
            var text = string.Concat(Enumerable.Range(0, random.Next(1, 12)).Select(_ => atoms[random.Next(atoms.Length)]));
            Assert.Equal(Find(slow, text), Find(known, text));
        }
    }

    [Fact]
    public void Kinds_of_characters_are_those_of_the_properties()
    {
        CodePointSet letter = UnicodeProperties.Find("L")!, number = UnicodeProperties.Find("Number")!, space = UnicodeProperties.Space;
        Span<char> units = stackalloc char[2];
        for (var c = 0; c < CodePointRanges.Limit; c++)
        {
            var expected = letter.Contains(c) ? CharacterKinds.Letter : number.Contains(c) ? CharacterKinds.Number : space.Contains(c) ? CharacterKinds.Space : CharacterKinds.Other;
            Assert.Equal(expected, CharacterKinds.At(units[..CodePoints.Write(c, units)], 0));
        }
    }

    private static string Find(Pattern pattern, string text)
    {
        var matches = new MatchSink();
        pattern.FindMatches(text, matches);
        var found = new StringBuilder();
        foreach (var (start, end) in matches.Matches)
        {
            found.Append(CultureInfo.InvariantCulture, $"{(found.Length > 0 ? " " : "")}{start}-{end}");
        }

        return found.ToString();
    }
}
