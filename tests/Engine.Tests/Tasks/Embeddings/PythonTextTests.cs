using InferenceServer.Engine.Tasks.Embeddings;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Embeddings;

/// <summary>Python's strip and lower; the expected texts are those of Python 3.11.</summary>
public sealed class PythonTextTests
{
    [Theory]
    [InlineData("\u039F\u0394\u039F\u03A3", "\u03BF\u03B4\u03BF\u03C2")]
    [InlineData("\u03A3\u0391\u03A3 \u03A3", "\u03C3\u03B1\u03C2 \u03C3")]
    [InlineData("A\u03A3.B A\u03A3. B", "a\u03C3.b a\u03C2. b")]
    [InlineData("\u0130stanbul", "i\u0307stanbul")]
    [InlineData("a [SEP] B\u00C9", "a [sep] b\u00E9")]
    public void Letters_are_lowered(string text, string expected) => Assert.Equal(expected, PythonText.Lower(text, out _));

    [Fact]
    public void Units_that_were_added_are_told()
    {
        Assert.Equal("i\u0307xi\u0307", PythonText.Lower("\u0130X\u0130", out var added));
        Assert.Equal([1, 4], added);
    }

    [Theory]
    [InlineData("\u001Chello", "hello", 1)]
    [InlineData(" \n\u3000hello\u0085", "hello", 3)]
    [InlineData("   ", "", 3)]
    [InlineData("\u200Bhello", "\u200Bhello", 0)]
    public void White_space_is_cut_off(string text, string expected, int cut)
    {
        Assert.Equal(expected, PythonText.Strip(text, out var went));
        Assert.Equal(cut, went);
    }
}
