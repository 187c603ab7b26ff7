using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Attention;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Attention;

/// <summary>A picture's cell is the largest of those that it stands for, however the matrices were put together before.</summary>
public sealed class AttentionThumbnailTests
{
    [Fact]
    public void Cells_stand_for_windows_as_in_adaptive_max_pooling()
    {
        float[] matrix = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; // 3 x 5
        Assert.Equal([8, 10, 13, 15], AttentionThumbnail.Pool(matrix, 3, 5, 2)); // rows [0, 2) and [1, 3), columns [0, 3) and [2, 5)
        Assert.Equal(matrix, AttentionThumbnail.Pool(matrix, 3, 5, 9));
        Assert.Equal([15], AttentionThumbnail.Pool(matrix, 3, 5, 1));
    }

    [Theory]
    [InlineData(AttentionUnit.Token, null, false)]
    [InlineData(AttentionUnit.Word, null, false)]
    [InlineData(AttentionUnit.Token, AggregateOver.Heads, false)]
    [InlineData(AttentionUnit.Word, null, true)]
    public async Task A_picture_is_pooled_from_what_is_answered_without_it(AttentionUnit merge, AggregateOver? over, bool renormalize)
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder("demo-models/demo-bert"));
        await using var _ = loader;
        var request = new AttentionRequest
        {
            Text = "O banco da praça estava sujo, então fui ao banco sacar dinheiro.",
            Merge = merge,
            Renormalize = renormalize,
            ExcludeSpecial = true,
            Aggregate = over is { } o ? new AttentionAggregate(o, AggregateMethod.Mean) : null,
        };
        var whole = await new AttentionTask().RunAsync(model, request, new RequestContext());
        var picture = await new AttentionTask().RunAsync(model, request with { Thumbnail = 5 }, new RequestContext());
        Assert.Equal([.. whole.Shape.SkipLast(2), 5, 5], picture.Shape);
        Assert.Equal(whole.Tokens, picture.Tokens);
        Assert.Equal(AttentionThumbnail.Pool(whole.Values, whole.Shape[^2], whole.Shape[^1], 5), picture.Values);
    }

    [Fact]
    public async Task A_side_below_one_is_refused()
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder("demo-models/demo-bert"));
        await using var _ = loader;
        var refused = await Assert.ThrowsAsync<InferenceException>(() => new AttentionTask().RunAsync(model, new AttentionRequest { Text = "a", Thumbnail = 0 }, new RequestContext()));
        Assert.Equal("Thumbnail", refused.Argument!.ToString());
    }
}
