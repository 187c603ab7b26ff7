using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tasks.Embeddings;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Embeddings;

public class PoolingTests
{
    // Three tokens and a row of padding that must not count.
    private static readonly float[] States = [1, -2, 3, 4, 5, -6, 99, 99];

    [Theory]
    [InlineData("cls", new[] { 1f, -2f })]
    [InlineData("max", new[] { 5f, 4f })]
    [InlineData("mean", new[] { 3f, -4f / 3 })]
    [InlineData("mean_sqrt_len", new[] { 5.196152f, -2.309401f })] // 9 / sqrt 3, -4 / sqrt 3
    [InlineData("weightedmean", new[] { 22f / 6, -12f / 6 })] // (1 + 6 + 15) / 6, (-2 + 8 - 18) / 6
    [InlineData("lasttoken", new[] { 5f, -6f })]
    [InlineData("mean+cls", new[] { 1f, -2f, 3f, -4f / 3 })]
    public void Each_mode_gives_what_the_reference_defines(string pooling, float[] expected) => Near(expected, Pool(pooling, 0));

    [Theory]
    [InlineData("cls", new[] { 1f, -2f })]
    [InlineData("max", new[] { 5f, 4f })]
    [InlineData("mean", new[] { 4f, -1f })]
    [InlineData("weightedmean", new[] { 21f / 5, -10f / 5 })] // positions count from the start of the sequence
    public void The_prompts_tokens_can_be_left_out(string pooling, float[] expected) => Near(expected, Pool(pooling, 1));

    [Fact]
    public void Unknown_names_are_not_guessed()
    {
        Assert.Null(Pooling.Parse("average"));
        Assert.Null(Pooling.Parse(""));
        Assert.Null(Pooling.Parse("cls+"));
        Assert.Equal("cls+mean", Pooling.Format(Pooling.Parse("mean+cls+mean")!));
        Assert.Equal("mean_sqrt_len", Pooling.Format(Pooling.Parse("mean_sqrt_len_tokens")!));
    }

    [Fact]
    public void Modules_follow_their_definitions()
    {
        var dense = new DenseModule(2, 2, [1, 2, 3, 4], [0.5f, -0.5f], "torch.nn.modules.activation.Tanh");
        Near([MathF.Tanh(1 - 4 + 0.5f), MathF.Tanh(3 - 8 - 0.5f)], SentenceModules.Apply(dense, [1, -2]));
        Near([0, 1], SentenceModules.Apply(dense with { Weight = [1, 0, 0, 1], Bias = null, Activation = "ReLU" }, [-1, 1]));
        Near([0.8413447f, -0.0455003f], SentenceModules.Apply(dense with { Weight = [1, 0, 0, 1], Bias = null, Activation = "torch.nn.modules.activation.GELU" }, [1, -2]), 1e-6f); // x Φ(x)
        Near([0.7310586f, 0.1192029f], SentenceModules.Apply(dense with { Weight = [1, 0, 0, 1], Bias = null, Activation = "Sigmoid" }, [1, -2]));
        Near([-1.2247f * 2 + 1, 1, 1.2247f * 2 + 1], SentenceModules.Apply(new LayerNormModule([2, 2, 2], [1, 1, 1], 0), [1, 2, 3]), 1e-4f);
        Near([MathF.Tanh(-2.5f) + 1, MathF.Tanh(-5.5f) - 2], SentenceModules.Apply(dense with { UseResidual = true }, [1, -2]));
        Near([MathF.Tanh(-2.5f) - 1, MathF.Tanh(-5.5f) + 3], SentenceModules.Apply(dense with { UseResidual = true, Residual = [1, 1, 1, -1] }, [1, -2]));
        Near([0.6f, -0.8f], SentenceModules.Apply(new NormalizeModule(), [3, -4]));
        Near([0, 0], SentenceModules.Apply(new NormalizeModule(), [0, 0]));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0.5, 0.5204998778130465)]
    [InlineData(-1, -0.8427007929497149)]
    [InlineData(2.4, 0.9993114861033549)]
    [InlineData(2.6, 0.9997639655834707)]
    [InlineData(-5, -0.9999999999984626)]
    public void The_error_function_is_exact(double x, double expected) => Assert.Equal(expected, SentenceModules.Erf(x), 1e-14);

    private static float[] Pool(string pooling, int skip) => Pooling.Pool(new OutputRow(States, [4, 2]), 3, skip, Pooling.Parse(pooling)!);

    private static void Near(float[] expected, float[] actual, float tolerance = 1e-5f)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.Equal(expected[i], actual[i], tolerance);
        }
    }
}
