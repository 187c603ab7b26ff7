using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Strings of tokens that are not the vocabulary's are found without going through all of them.</summary>
public sealed class TokenRowTests
{
    [Fact]
    public void Every_second_token_has_a_string_of_its_own_and_each_is_found()
    {
        // Looked for from the front it would be 10^12 steps for the million tokens, and as many for the windows: hours.
        const int Count = 2_000_000, Window = 10;
        var row = new TokenRow();
        row.Reset("", 0);
        row.Reserve(Count);
        for (var i = 0; i < Count; i++)
        {
            row.Add(0, i, i + 1, i);
            if (i % 2 == 0)
            {
                row.SetSurface([(char)i]);
            }
        }

        for (var i = 0; i < Count; i++)
        {
            Assert.Equal(i % 2 == 0, row.TryGetSurface(i, out var surface));
            Assert.Equal(i % 2 == 0 ? ((char)i).ToString() : "", surface.ToString());
        }

        List<(int Index, string Text)> copied = [];
        for (var start = 0; start < Count; start += Window)
        {
            row.CopySurfaces(start, Window, start + 3, copied);
        }

        Assert.Equal(Enumerable.Range(0, Count / 2).Select(i => ((2 * i) + 3, ((char)(2 * i)).ToString())), copied);
    }
}
