using InferenceServer.Engine.Tasks.Attention;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Attention;

public class AttentionFlowTests
{
    // Two layers of three tokens, residual included already (rows sum to 1).
    private static readonly float[][] Layers =
    [
        [0.6f, 0.3f, 0.1f, 0.2f, 0.7f, 0.1f, 0.0f, 0.5f, 0.5f],
        [0.5f, 0.5f, 0.0f, 0.1f, 0.8f, 0.1f, 0.4f, 0.2f, 0.4f],
    ];

    [Fact]
    public void The_residual_connection_is_half_of_each()
    {
        float[] layer = [0.2f, 0.8f, 1f, 0f];
        AttentionFlow.AddResidual(layer, 2);
        Assert.Equal([0.6f, 0.4f, 0.5f, 0.5f], layer);
    }

    [Theory]
    [InlineData(0, new[] { 0.4f, 0.5f, 0.1f })] // 0.5 [.6 .3 .1] + 0.5 [.2 .7 .1]
    [InlineData(2, new[] { 0.28f, 0.46f, 0.26f })] // 0.4 [.6 .3 .1] + 0.2 [.2 .7 .1] + 0.4 [0 .5 .5]
    public void Rollout_is_the_product_of_the_layers(int token, float[] expected)
    {
        var row = AttentionFlow.RolloutRow(Layers, 3, token);
        var whole = AttentionFlow.Rollouts(Layers, 3, TestContext.Current.CancellationToken).Last();
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(expected[i], row[i], 1e-6f);
            Assert.Equal(expected[i], whole[(token * 3) + i], 1e-6f);
        }
    }

    [Theory]
    [InlineData(0, 0, 0.7)] // min(.5, .6) + min(.5, .2) + min(0, 0)
    [InlineData(0, 1, 0.8)] // min(.5, .3) + min(.5, .7) + min(0, .5)
    [InlineData(2, 0, 0.6)] // min(.4, .6) + min(.2, .2) + min(.4, 0)
    [InlineData(2, 2, 0.6)] // min(.4, .1) + min(.2, .1) + min(.4, .5)
    public void Flow_through_two_layers_is_the_sum_of_the_narrower_edges(int token, int target, double expected) =>
        Assert.Equal(expected, AttentionFlow.MaximumFlow(Layers, 3, token, target, TestContext.Current.CancellationToken), 1e-6);

    [Fact]
    public void Flow_takes_back_what_it_sent_the_wrong_way()
    {
        // Source 0 at the top; two middle layers. A greedy path through (0, 0, 1) blocks the only way of the other; only by taking flow back is 2 x 0.5 reached.
        float[][] layers =
        [
            [0.5f, 0f, 0.5f, 0f], // level 1 to input: both tokens reach input 0 with 0.5
            [0.5f, 0.5f, 0.5f, 0f], // level 2 to level 1: token 0 reaches both, token 1 only token 0
            [0.5f, 0.5f, 0f, 1f], // top to level 2
        ];
        Assert.Equal(1.0, AttentionFlow.MaximumFlow(layers, 2, 0, 0, TestContext.Current.CancellationToken), 1e-9);
        Assert.Equal(0.0, AttentionFlow.MaximumFlow(layers, 2, 0, 1, TestContext.Current.CancellationToken), 1e-9);
    }

    [Fact]
    public void Flow_equals_the_smallest_cut_of_random_graphs()
    {
        var random = new Random(7);
        for (var round = 0; round < 20; round++)
        {
            const int Size = 3;
            var layers = Enumerable.Range(0, 3).Select(_ => Enumerable.Range(0, Size * Size).Select(_ => random.NextSingle()).ToArray()).ToArray();
            Assert.Equal(SmallestCut(layers, Size, 1, 2), AttentionFlow.MaximumFlow(layers, Size, 1, 2, TestContext.Current.CancellationToken), 1e-5);
        }
    }

    /// <summary>The least capacity of any set of nodes that holds the source and not the sink, by trying them all.</summary>
    private static double SmallestCut(float[][] layers, int size, int token, int target)
    {
        var nodes = (layers.Length + 1) * size;
        var (source, sink) = ((layers.Length * size) + token, target);
        var least = double.MaxValue;
        for (var set = 0; set < 1 << nodes; set++)
        {
            if ((set >> source & 1) == 0 || (set >> sink & 1) == 1)
            {
                continue;
            }

            var cut = 0.0;
            for (var l = 0; l < layers.Length; l++)
            {
                for (var e = 0; e < size * size; e++)
                {
                    var (from, to) = (((l + 1) * size) + (e / size), (l * size) + (e % size));
                    cut += (set >> from & 1) == 1 && (set >> to & 1) == 0 ? layers[l][e] : 0;
                }
            }

            least = Math.Min(least, cut);
        }

        return least;
    }
}
