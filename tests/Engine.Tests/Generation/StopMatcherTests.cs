using CsCheck;
using InferenceServer.Engine.Generation;
using Xunit;

namespace InferenceServer.Engine.Tests.Generation;

/// <summary>Stop texts in a text that comes in pieces, wherever it is cut.</summary>
public sealed class StopMatcherTests
{
    [Fact]
    public void Any_cuts_give_what_a_search_in_the_whole_gives()
    {
        var text = Gen.Char["abAB"].Array[0, 40].Select(c => new string(c));
        Gen.Select(text.Array[1, 12], Gen.Char["abAB"].Array[1, 5].Select(c => new string(c)).Array[1, 4]).Sample((pieces, stops) =>
        {
            var matcher = new StopMatcher(stops);
            var (given, read, stopped) = ("", "", false);
            foreach (var piece in pieces)
            {
                read += piece;
                (var certain, stopped) = matcher.Push(piece);
                given += certain;
                if (stopped)
                {
                    break;
                }

                // What is held may still become a stop text, and is no longer than that needs.
                var held = read[given.Length..];
                Assert.True(held.Length == 0 || stops.Any(stop => stop.StartsWith(held, StringComparison.Ordinal)), $"'{held}' is held for {string.Join(',', stops)}");
                Assert.DoesNotContain(stops, stop => read.Contains(stop, StringComparison.Ordinal));
            }

            if (stopped)
            {
                var at = stops.Select(stop => read.IndexOf(stop, StringComparison.Ordinal)).Where(i => i >= 0).Min();
                Assert.Equal(read[..at], given);
                Assert.Equal("", matcher.Flush());
            }
            else
            {
                Assert.Equal(read, given + matcher.Flush());
            }
        });
    }
}
