using CsCheck;
using InferenceServer.Engine.Tokenization.Models;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>The search for added tokens gives what trying every token at every place gives, in time that does not grow with the tokens.</summary>
public sealed class LongestMatchesTests
{
    [Fact]
    public void Gives_the_longest_token_of_every_place() =>
        Gen.Select(Gen.String[Gen.Char['a', 'c'], 1, 6].Array[1, 8], Gen.String[Gen.Char['a', 'd'], 0, 40]).Sample((tokens, text) =>
        {
            tokens = [.. tokens.Distinct()];
            var expected = Enumerable.Range(0, text.Length).Select(at => Enumerable.Range(0, tokens.Length)
                .Where(i => string.CompareOrdinal(text, at, tokens[i], 0, tokens[i].Length) == 0)
                .OrderByDescending(i => tokens[i].Length).FirstOrDefault(-1));
            Assert.Equal(expected, Search(tokens).Of(text));
        });

    [Fact]
    public void A_token_of_a_million_letters_costs_what_the_text_and_the_token_cost_together()
    {
        // Tried at every place it would be 4 * 10^11 steps: hours.
        var token = new string('a', 1_000_000) + "b";
        var search = Search([token, "ab"]);
        Assert.All(search.Of(new string('a', 900_000)), index => Assert.Equal(-1, index));
        var found = search.Of("a" + token);
        Assert.Equal((0, 1), (found[1], found[^2]));
    }

    private static LongestMatches Search(string[] tokens) => new(new CharTrie(tokens.Select((token, i) => KeyValuePair.Create(token, i))));
}
