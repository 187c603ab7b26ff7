using InferenceServer.Engine.Tasks.Attention;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Attention;

public class FilterTests
{
    [Fact]
    public void Top_k_keeps_the_largest_and_the_first_of_equals() =>
        Assert.Equal([0, 0.4f, 0.2f, 0, 0.1f, 0.1f, 0, 0], Filter(4, new AttentionRequest { TopK = 2 }, 0.2f - 0.1f, 0.4f, 0.2f, 0.2f, 0.1f, 0.1f, 0.1f, 0.1f));

    [Fact]
    public void Rows_are_scaled_before_values_are_dropped() =>
        Assert.Equal([0.75f, 0, 0, 0], Filter(2, new AttentionRequest { Renormalize = true, Threshold = 0.3f }, 0.3f, 0.1f, 0, 0));

    [Fact]
    public void A_top_k_above_the_keys_keeps_all() => Assert.Equal([0.3f, 0.1f], Filter(2, new AttentionRequest { TopK = 9 }, 0.3f, 0.1f));

    [Fact]
    public void A_head_is_described_by_where_it_looks()
    {
        // Three tokens (the first special), a row of padding keys that must not count; every query but the first looks back.
        float[] matrix = [1, 0, 0, 9, 1, 0, 0, 9, 0, 1, 0, 9];
        var head = new AttentionHead([Token(7, special: true), Token(8), Token(8)], causal: true).Describe(1, 2, matrix, 4);
        Assert.Equal(new HeadStatistics(1, 2, 0, 2 / 3f, 2 / 3f, 2 / 3f, 2 / 3f, 0, 1 / 3f, 1 / 3f, "special"), head);

        var broad = new AttentionHead([Token(1), Token(2)], causal: false).Describe(0, 0, [0.5f, 0.5f, 0.5f, 0.5f], 2);
        Assert.Equal((float)Math.Log(2), broad.Entropy, 1e-6f);
        Assert.Equal("broad", broad.Pattern);
    }

    private static AttentionToken Token(int id, bool special = false) => new(id, "", "", 0, 0, special, 0);

    private static float[] Filter(int keys, AttentionRequest request, params float[] values)
    {
        AttentionTask.Filter(values, keys, request);
        return values;
    }
}
